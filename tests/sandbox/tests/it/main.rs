//! The sandbox through its own door: every test starts one on a free port and speaks real HTTP to it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test by panicking")]

mod calendar;
mod faults;
mod images;
mod limits;
mod listings;
mod process;
mod state_file;
mod summary;
mod support;
mod tokens;
