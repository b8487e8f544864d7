pub fn run() {
    let p = &5u32 as *const u32;
    let x = unsafe {
        let n = *p;
        std::mem::transmute::<u32, f32>(n)
    };
    println!("{x:e}");
}
