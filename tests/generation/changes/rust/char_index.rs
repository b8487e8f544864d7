fn rest(s: &str) -> &str {
    for (i, c) in s.chars().enumerate() {
        if c == ':' {
            return &s[i..];
        }
    }
    s
}
pub fn run() {
    println!("{} {}", rest("a:b"), rest("none"));
}
