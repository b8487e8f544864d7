use std::io::BufRead;
fn f(mut input: &[u8]) -> u32 {
    let mut line = String::new();
    input.read_line(&mut line).unwrap();
    line.pop();
    line.parse::<u32>().unwrap()
}
pub fn run() {
    println!("{}", f(b"12\n"));
}
