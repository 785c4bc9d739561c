//! The command line, run as people and scripts run it: the built binary against a database and NATS subjects of its own.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod accounts;
mod clocks;
mod destinations;
mod exit_codes;
mod explaining;
mod identity;
mod linking;
mod migrating;
mod no_leader;
mod publishing;
mod refusals;
mod replays;
mod running;
mod secrets;
mod service;
mod shapes;
mod streams;
mod world;
