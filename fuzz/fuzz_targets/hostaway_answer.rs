//! Answers of Hostaway, tokens among them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| adapters::hostaway::fuzz_door::answer(bytes));
