pub fn run() {
    let s = "äb:c";
    for (i, c) in s.chars().enumerate() {
        if c == ':' {
            println!("{i}");
        }
    }
    let t = "ab";
    let mut n = 0;
    for (i, _) in t.chars().enumerate() {
        n += i + t[i..].len();
    }
    println!("{n}");
}
