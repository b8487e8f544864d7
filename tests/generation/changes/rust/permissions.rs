use std::os::unix::fs::PermissionsExt;
pub fn run() {
    let a = std::fs::Permissions::from_mode(0o644);
    let b = std::fs::Permissions::from_mode(420);
    println!("{:o} {:o}", a.mode(), b.mode());
}
