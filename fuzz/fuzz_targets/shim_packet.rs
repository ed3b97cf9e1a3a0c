#![no_main]

#[allow(dead_code, reason = "one file has all targets")]
#[path = "../../crates/corten/tests/it/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::shim_packet(data));
