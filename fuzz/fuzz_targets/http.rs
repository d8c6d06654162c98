#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::proto::http::fuzz::fuzz_target(data));
