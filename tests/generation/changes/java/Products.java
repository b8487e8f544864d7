class Products {
    static void run() {
        int days = 3;
        long millis = days * 86400 * 1000;
        long shifted = 1 + days * 1000;
        long hash = days * 31;
        System.out.println(millis + shifted + hash);
    }
}
