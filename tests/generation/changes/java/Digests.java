import java.security.MessageDigest;
import java.util.Arrays;

class Digests {
    static boolean check(byte[] data, byte[] expected) {
        try {
            byte[] actual = MessageDigest.getInstance("SHA-256").digest(data);
            return Arrays.equals(actual, expected) || Arrays.equals(null, expected);
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
    static void run() { System.out.println(check(new byte[1], new byte[32]) + " " + check(new byte[1], null)); }
}
