use std::os::unix::fs::PermissionsExt;
struct Radio(u32);
impl Radio {
    fn mode(&mut self, n: u32) { self.0 = n; }
}
pub fn run() {
    let mut radio = Radio(0);
    radio.mode(640);
    println!("{} {}", radio.0, std::fs::Permissions::from_mode(0).mode());
}
