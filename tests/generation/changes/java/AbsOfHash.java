class AbsOfHash {
    static void run() {
        for (Object key : new Object[] {"a", -7, "polygenelubricants".substring(1)}) {
            System.out.println(Math.abs(key.hashCode()) % 7 + 1);
        }
    }
}
