class ProductsMeant {
    static void run() {
        int n = Integer.MAX_VALUE;
        long hash = n * 31;
        long divided = n * 10 / 10;
        int wrapped = n * 10;
        System.out.println(hash + " " + divided + " " + wrapped);
    }
}
