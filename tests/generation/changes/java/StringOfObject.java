class StringOfObject {
    static boolean f(Object o) { return o == "a"; }
    static boolean g(CharSequence o) { return o == "a"; }
    static void run() { System.out.println(f(new StringBuilder("a")) + " " + g("a")); }
}
