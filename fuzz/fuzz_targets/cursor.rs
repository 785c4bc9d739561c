//! Queries and cursors of the API.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| services::api::door::cursor(bytes));
