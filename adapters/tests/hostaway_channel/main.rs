//! The Hostaway channel through its only door, `Channel::push`, against the real sandbox process with faults on demand.

#![expect(clippy::unwrap_used, reason = "a test whose bench breaks fails")]

mod checks;
mod creation;
mod destinations;
mod faults;
mod fixture;
mod lies;
mod nights;
mod parrot;
mod rejections;
mod requests;
mod sandbox;
mod secrets;
mod slots;
mod tokens;
mod unknown;
mod unproved;
mod updates;
