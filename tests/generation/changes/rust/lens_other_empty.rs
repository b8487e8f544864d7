struct Queue(u32);
impl Queue {
    fn len(&self) -> u32 { self.0 }
    fn is_empty(&self) -> bool { self.0 > 100 }
}
pub fn run() {
    let q = Queue(0);
    println!("{} {}", q.len() == 0, q.is_empty());
}
