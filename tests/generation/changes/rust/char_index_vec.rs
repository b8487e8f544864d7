pub fn run() {
    let s = "äb";
    let v: Vec<u8> = vec![1, 2, 3];
    for (i, _) in s.chars().enumerate() {
        println!("{:?}", &v[i..]);
    }
}
