use std::io::Write;
struct Sink(usize);
impl Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 += bytes.len();
        Ok(())
    }
}
fn f(s: &mut Sink) -> Result<(), ()> {
    s.write("text".as_bytes())?;
    Ok(())
}
pub fn run() {
    let mut s = Sink(0);
    f(&mut s).unwrap();
    std::io::stdout().flush().unwrap();
    println!("{}", s.0);
}
