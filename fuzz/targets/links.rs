#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dav123::fuzz::links(data));
