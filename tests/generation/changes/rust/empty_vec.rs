use std::io::Read;
fn f(mut r: impl Read) -> Vec<u8> {
    let mut v = Vec::with_capacity(3);
    r.read_to_end(&mut v).unwrap();
    v
}
pub fn run() {
    println!("{:?}", f(&b"abc"[..]));
}
