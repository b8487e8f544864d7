pub fn run() {
    let s = "äb";
    let t = String::from("xyz");
    for (i, _) in s.chars().enumerate() {
        println!("{} {}", &t[i..], &t[..i]);
    }
}
