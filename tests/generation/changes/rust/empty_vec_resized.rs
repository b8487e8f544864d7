use std::io::Read;
fn f(r: &mut impl Read) -> Vec<u8> {
    let mut v = Vec::with_capacity(3);
    v.resize(2, 0);
    r.read_exact(&mut v).unwrap();
    v
}
pub fn run() {
    println!("{:?}", f(&mut &b"abc"[..]));
}
