#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| control::config::suricata::fuzz_target(data));
