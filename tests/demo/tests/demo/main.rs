//! The villas satisfy the contract, the comparison sees what is wrong at a channel, and the service is found where it listens.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test by panicking")]

mod comparing;
mod listening;
mod villas;
