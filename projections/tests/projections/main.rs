//! The projections on a real Postgres, fed with histories that the real aggregates decided on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod channel_listings;
mod channel_targets;
mod coverage;
mod database;
mod indexes;
mod journal;
mod outbound_audit;
mod random_history;
mod rebuild;
mod runner;
mod scene;
mod story;
mod sync_activity;
mod sync_queue;
mod target_health;
mod throughput;
