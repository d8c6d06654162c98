#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::decode::fuzz_target(data));
