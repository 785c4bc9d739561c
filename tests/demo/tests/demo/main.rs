//! The villas satisfy the contract, and the comparison sees what is wrong at a channel.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test by panicking")]

mod comparing;
mod villas;
