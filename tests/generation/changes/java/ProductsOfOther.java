class ProductsOfOther {
    static void f(short a, byte b, Integer c) {
        long x = a * 1000, y = b * 1000, z = c * 1000;
        System.out.println(x + y + z);
    }
    static void run() { f((short) 2, (byte) 3, 4); }
}
