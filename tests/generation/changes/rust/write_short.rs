use std::io::{self, Write};
struct Half(Vec<u8>);
impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(2);
        self.0.extend_from_slice(&bytes[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> { Ok(()) }
}
fn f(w: &mut Half) -> io::Result<()> {
    w.write("text".as_bytes())?;
    Ok(())
}
pub fn run() {
    let mut w = Half(Vec::new());
    f(&mut w).unwrap();
    println!("{:?}", w.0);
}
