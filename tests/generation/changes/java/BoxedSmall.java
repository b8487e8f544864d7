class BoxedSmall {
    static boolean same(Integer a, Integer b) { return a == b; }
    static void run() {
        System.out.println(same(5, 5) + " " + same(5, 6) + " " + same(null, null) + " " + same(null, 5));
    }
}
