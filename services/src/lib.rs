//! The roles and what they share. The binary `distribution` runs all of them, or those that are named; they talk to
//! each other through Postgres and NATS alone.
//!
//! Reading order: [`commands`] (how anything is changed), [`linking`] and [`syncing`] (what people ask for),
//! [`intake`], [`relay`], [`projector`], [`dispatcher`] (the way of a unit change), [`views`] (what is told of all that), [`api`],
//! [`dashboard`] and [`cli`] (who asks, and who is told), [`serve`].

pub mod api;
pub mod cli;
mod clock;
pub mod commands;
pub mod config;
pub mod credentials;
pub mod dashboard;
pub mod dead_letters;
mod descriptors;
pub mod dispatcher;
pub mod drift;
pub mod health;
mod holders;
pub mod http;
pub mod intake;
mod leading;
pub mod linking;
pub mod payloads;
pub mod projector;
pub mod relay;
pub mod replay_point;
mod retention;
pub mod schema;
pub mod serve;
mod shared_look;
pub mod slots;
pub mod stopping;
pub mod syncing;
pub mod telemetry;
#[cfg(test)]
#[path = "../../fuzz/variations.rs"]
mod variations;
pub mod views;
