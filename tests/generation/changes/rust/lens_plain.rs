pub fn run() {
    let xs: Vec<u8> = Vec::new();
    println!("{} {} {}", xs.len() == 0, "a".len() > 0, (0..3).len() != 0);
}
