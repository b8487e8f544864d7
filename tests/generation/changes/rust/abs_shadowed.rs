fn f(n: i32) -> u32 {
    let n = n as i64;
    n.abs() as u32
}
pub fn run() {
    println!("{}", f(-3));
}
