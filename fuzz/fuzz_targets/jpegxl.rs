#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| medilink_fuzz::read("jpegxl", bytes));
