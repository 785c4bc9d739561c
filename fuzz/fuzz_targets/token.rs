//! Bearer tokens.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| adapters::identity::fuzz_door::token(bytes));
