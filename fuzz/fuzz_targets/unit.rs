//! Bodies of unit messages, from the reading to what a channel is sent.

#![no_main]

#[path = "../unit_promises.rs"]
mod unit_promises;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unit_promises::read(bytes));
