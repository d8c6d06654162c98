#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::proto::tls::fuzz::fuzz_target(data));
