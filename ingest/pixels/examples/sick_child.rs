//! Decoding processes that fail, each in its own way, for the tests of the pool.
//!
//! `sick_child HOW [FILE]`: with FILE, only the first one is sick; it makes the file, and later ones are well.

use std::fs::File;
use std::io::{self, Read, Write};
use std::{process, thread, time::Duration};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.get(1).is_some_and(|file| File::create_new(file).is_err()) {
        return pixels::run_child();
    }
    let mut first_byte = [0];
    io::stdin().read_exact(&mut first_byte)?;
    match arguments.first().map(String::as_str) {
        Some("aborts") => process::abort(),
        Some("nonsense") => io::stdout().write_all(&[0xFF; 64])?,
        Some("hangs") => thread::sleep(Duration::from_secs(600)),
        _ => process::exit(2),
    }
    Ok(())
}
