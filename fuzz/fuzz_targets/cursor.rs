//! Queries and cursors of the API.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| services::api::fuzz_door::cursor(bytes));
