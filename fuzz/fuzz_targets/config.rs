#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| control::config::fuzz_target(data));
