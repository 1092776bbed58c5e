#![no_main]

#[path = "../../tests/fuzz/operations.rs"]
mod operations;

libfuzzer_sys::fuzz_target!(|data: &[u8]| operations::check(data));
