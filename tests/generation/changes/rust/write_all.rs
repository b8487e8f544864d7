use std::io::{self, Write};
fn f(w: &mut impl Write) -> io::Result<()> {
    w.write("text".as_bytes())?;
    w.write(b"\n")?;
    w.write(&7u32.to_be_bytes())?;
    Ok(())
}
pub fn run() {
    let mut out = Vec::new();
    f(&mut out).unwrap();
    println!("{out:?}");
}
