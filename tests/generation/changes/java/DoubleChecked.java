class DoubleChecked {
    private static DoubleChecked one;
    private DoubleChecked next = null;
    static DoubleChecked get() {
        if (one == null) {
            synchronized (DoubleChecked.class) {
                if (one == null) {
                    one = new DoubleChecked();
                }
            }
        }
        return one;
    }
    DoubleChecked next() {
        if (next == null) {
            synchronized (this) {
                if (next == null) {
                    next = new DoubleChecked();
                }
            }
        }
        return next;
    }
    static void run() { System.out.println((get() == get()) + " " + (get().next() == get().next())); }
}
