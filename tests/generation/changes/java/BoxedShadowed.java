class BoxedShadowed {
    static String f(Integer a, Integer b) {
        Runnable r = () -> {
            Object c = a, d = b;
            System.out.println(c == d);
        };
        r.run();
        return a + "" + b;
    }
    static void run() { System.out.println(f(1, 1)); }
}
