class SelfAssignedInside {
    String name = "outer";
    Runnable f(String name) {
        return new Runnable() {
            String other = "inner";
            public void run() { System.out.println(other); other = other; }
        };
    }
    static void run() { new SelfAssignedInside().f("x").run(); }
}
