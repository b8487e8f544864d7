class SelfAssigned {
    static String name = "static";
    final String kind;
    SelfAssigned(String kind) { this.kind = kind; }
    static void set(String name) { name = name; }
    static void run() {
        set("changed");
        String local = "x";
        local = local;
        System.out.println(name + local + new SelfAssigned("k").kind);
    }
}
