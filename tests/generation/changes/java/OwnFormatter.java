class OwnFormatter {
    static class DateTimeFormatter { static String ofPattern(String p) { return p; } }
    static void run() { System.out.println(DateTimeFormatter.ofPattern("YYYY-MM-DD")); }
}
