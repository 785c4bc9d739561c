//! The HTTP API of the real binary.

mod changes;
mod document;
mod idempotency;
mod isolation;
mod pressure;
mod secrets;
mod sign_in;
