fn f(n: i32) -> u32 {
    n.abs() as u32
}
fn g(n: i64) -> [u8; 8] {
    (n.abs() as u64).to_le_bytes()
}
pub fn run() {
    println!("{} {} {:?}", f(-3), f(4), g(-5));
}
