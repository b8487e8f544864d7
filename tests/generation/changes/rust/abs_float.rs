fn f(n: f32) -> u32 {
    n.abs() as u32
}
struct Money(i64);
impl Money {
    fn abs(&self) -> i64 { self.0.abs() }
}
fn g(n: Money) -> u64 {
    n.abs() as u64
}
pub fn run() {
    println!("{} {}", f(-3.9), g(Money(-2)));
}
