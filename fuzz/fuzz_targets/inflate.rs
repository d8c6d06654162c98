#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::applayer::inflate::fuzz::fuzz_target(data));
