struct Lake(u32);
impl Lake {
    fn len(&self) -> u32 { self.0 }
}
pub fn run() {
    println!("{} {}", Lake(0).len() == 0, Lake(3).len() > 0);
}
