use std::mem;
fn f(n: u32) -> f32 {
    unsafe { mem::transmute::<u32, f32>(n) }
}
fn g(x: f64) -> u64 {
    unsafe { std::mem::transmute::<f64, u64>(x) }
}
fn h(x: f64) -> i64 {
    unsafe { std::mem::transmute::<f64, i64>(x) }
}
pub fn run() {
    println!("{} {} {}", f(0x3f800000), g(-0.0), h(-1.5));
}
