class StringPrecedence {
    static void run() {
        String s = "b";
        System.out.println(!(s == "a") == true);
        System.out.println(s == "b" ? 1 : 2);
    }
}
