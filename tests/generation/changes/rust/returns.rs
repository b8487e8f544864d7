fn f(x: u8) -> u8 {
    return x + 1;
}
fn g(ok: bool) -> bool {
    if ok == true {
        return false;
    }
    return ok == true || f(1) == 2;
}
pub fn run() {
    println!("{} {} {:?}", f(1), g(true), [1, 2, 3].iter().filter(|x| **x > 1).next());
}
