import java.util.function.UnaryOperator;

class SelfAssignedLambda {
    private String name = "field";
    String f() {
        UnaryOperator<String> same = name -> { name = name; return name; };
        return same.apply("x") + name;
    }
    static void run() { System.out.println(new SelfAssignedLambda().f()); }
}
