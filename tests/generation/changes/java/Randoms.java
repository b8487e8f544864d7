import java.util.Random;

class Randoms {
    static String token(long seed) { return Long.toHexString(new Random(seed).nextLong()); }
    static int session() { return new Random().nextInt(1); }
    static void run() { System.out.println(token(1) + session()); }
}
