//! The stores of secrets through their one door, `SecretStore`: what they keep, what they refuse, and what others can see.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod accounts;
mod aws;
mod embedded;
mod folder;
mod moto;
mod refusals;
