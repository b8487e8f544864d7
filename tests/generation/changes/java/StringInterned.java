class StringInterned {
    static String kind(String s) {
        if (s == "a") {
            return "first";
        }
        return s != "b" ? "other" : "second";
    }
    static void run() { System.out.println(kind("a") + kind("b") + kind("c") + kind(null)); }
}
