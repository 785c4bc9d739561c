//! Words of the command line.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| services::cli::fuzz_door::arguments(bytes));
