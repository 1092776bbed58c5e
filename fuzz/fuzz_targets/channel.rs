#![no_main]

#[path = "../../tests/fuzz/answers.rs"]
mod answers;
#[path = "../../tests/fuzz/channel.rs"]
mod channel;
#[path = "../../tests/fuzz/reading.rs"]
mod reading;

libfuzzer_sys::fuzz_target!(|data: &[u8]| channel::check(data));
