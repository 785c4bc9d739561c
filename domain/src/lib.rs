//! The domain of the channels service: what a unit is, what a channel target and a channel listing may do, and the
//! rules of a sync. Pure and deterministic: time, randomness and ids come in as arguments, and nothing here does IO.
//!
//! Reading order: [`ids`], [`unit`] (what comes in), [`mapping`] (what a channel wants), [`target`] and [`listing`]
//! (the two aggregates), [`retry`] and [`window`] (the arithmetic of a sync), [`recorded`] and [`audit`] (what goes out).

pub mod access;
pub mod audit;
pub mod call;
pub mod canonical;
pub mod channel;
pub mod counted;
pub mod difference;
pub mod hash;
pub mod ids;
pub mod journal;
pub mod listing;
pub mod mapping;
pub mod metadata;
pub mod money;
pub mod outcome;
pub mod port;
pub mod recorded;
pub mod retry;
pub mod secret;
pub mod target;
pub mod text;
pub mod unit;
pub mod upcast;
#[cfg(test)]
#[path = "../../fuzz/variations.rs"]
mod variations;
pub mod window;
