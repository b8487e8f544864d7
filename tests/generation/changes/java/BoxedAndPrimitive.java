class BoxedAndPrimitive {
    static boolean same(Integer a, int b) { return a == b; }
    static boolean sameObject(Object a, Object b) { return a == b; }
    static void run() {
        System.out.println(same(1000, 1000));
        System.out.println(sameObject("a", "a"));
    }
}
