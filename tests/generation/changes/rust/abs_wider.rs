fn f(n: i32) -> u64 {
    n.abs() as u64
}
fn g(n: i32) -> usize {
    (n.abs() as u64).to_le_bytes().len()
}
pub fn run() {
    println!("{} {}", f(-3), g(-3));
}
