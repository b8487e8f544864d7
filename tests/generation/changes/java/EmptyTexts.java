import java.util.List;

class EmptyTexts {
    static void run() {
        String s = "";
        Object o = s;
        System.out.println(s.equals("") + " " + o.equals("") + " " + List.of().equals(""));
        System.out.println(new String("x").equals("x"));
    }
}
