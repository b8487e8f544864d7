use std::io::BufRead;
fn f(mut input: &[u8]) -> Result<u32, std::num::ParseIntError> {
    let mut line = String::new();
    input.read_line(&mut line).unwrap();
    line.parse::<u32>()
}
pub fn run() {
    println!("{:?} {:?}", f(b"12"), f(b"x").is_err());
}
