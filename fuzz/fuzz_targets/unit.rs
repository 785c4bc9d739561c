//! Bodies of unit messages, from the reading to what a channel is sent.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| domain::unit::fuzz_door::read(bytes));
