class Builders {
    static void run() {
        System.out.println(new StringBuilder("[").append('x').append(']'));
        System.out.println(new StringBuilder((int) 'c').append(1));
        int c = 'd';
        System.out.println(new StringBuilder(c).append(2));
    }
}
