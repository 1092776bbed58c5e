#![no_main]

#[path = "../../tests/fuzz/answers.rs"]
mod answers;
#[path = "../../tests/fuzz/poll.rs"]
mod poll;
#[path = "../../tests/fuzz/reading.rs"]
mod reading;

libfuzzer_sys::fuzz_target!(|data: &[u8]| poll::check(data));
