//! What dispatchers share, on real Postgres: the windows hold whoever races, and what comes late harms nobody.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod circuits;
mod due_checks;
mod fixture;
mod leases;
mod linked;
mod plans;
mod window_model;
mod window_schedules;
mod windows;
