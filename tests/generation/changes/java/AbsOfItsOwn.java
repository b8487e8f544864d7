class AbsOfItsOwn {
    static class Math { static int abs(int n) { return n; } }
    static void run() { System.out.println(Math.abs("x".hashCode()) % 3); }
}
