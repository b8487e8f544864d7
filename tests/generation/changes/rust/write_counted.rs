use std::io::Write;
pub fn run() {
    let mut out = Vec::new();
    let n = out.write("text".as_bytes()).unwrap();
    println!("{n} {out:?}");
}
