use std::io::Read;
struct Source;
impl Source {
    fn read(&mut self, v: &mut Vec<u8>) -> usize {
        v.push(1);
        1
    }
}
fn f(r: &mut Source) -> Vec<u8> {
    let mut v = Vec::with_capacity(3);
    r.read(&mut v);
    v
}
pub fn run() {
    let mut s = String::new();
    (&b""[..]).read_to_string(&mut s).unwrap();
    println!("{:?}{s}", f(&mut Source));
}
