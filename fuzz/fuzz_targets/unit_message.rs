//! Messages about units, as the intake reads them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| services::intake::fuzz_door::message(bytes));
