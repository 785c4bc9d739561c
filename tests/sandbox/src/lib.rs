//! A faithful Hostaway for developers: a real HTTP server that keeps accounts, listings and calendars in memory (and, if told, in a file),
//! enforces the published rate limits, behaves as the Hostaway public API documentation says (its surprises included),
//! fails on demand, and can be asked afterwards what it saw. See README.md for the surprises and their sources.

mod arrivals;
mod calendar;
mod clock;
mod envelope;
mod faults;
mod gate;
mod limits;
mod listing;
mod lookups;
mod query;
mod reservations;
mod routes;
mod server;
mod state;
mod store;
mod summary;
mod tokens;
mod windows;
mod world;

pub use limits::{Limit, LimitTable, parse_limit, parse_table};
pub use server::{Sandbox, serve};
pub use windows::{Worst, worst_window};
pub use world::Config;
