//! The HTTP API of the real binary.

mod audit;
mod aws;
mod bounds;
mod bugs;
mod changes;
mod conventions;
mod created_by;
mod dead_letters;
mod document;
mod filters;
mod given_up;
mod heads;
mod histories;
mod idempotency;
mod isolation;
mod lists;
mod many_listings;
mod overview;
mod pages;
mod pressure;
mod readiness;
mod rotations;
mod secrets;
mod sign_in;
mod target_page;
