import java.util.Arrays;
import java.util.regex.Pattern;

class Splitting {
    static void run() {
        System.out.println(Arrays.toString(Pattern.compile("[.]").split(".")));
        System.out.println(Arrays.toString("a.b".split("[.]")));
        System.out.println("secret".replaceAll(".", "*"));
    }
}
