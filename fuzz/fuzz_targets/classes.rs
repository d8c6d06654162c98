#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::detect::lang::fuzz::classes(data));
