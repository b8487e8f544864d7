class AbsOfHashOfLong {
    static void run() {
        long size = 5;
        System.out.println(2 * Math.abs("abc".hashCode()) % size);
        System.out.println(10 - Math.abs("abc".hashCode()) % 4);
    }
}
