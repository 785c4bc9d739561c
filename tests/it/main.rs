//! End-to-end: unit changes go in on NATS, the sandbox sees what comes out.

mod api;
mod browser;
mod cancelled;
mod crashes;
mod faults;
mod health;
mod holds;
mod inputs;
mod intake;
mod levels;
mod looks;
mod main_job;
mod metrics;
mod nats_cluster;
mod older_states;
mod postgres_standby;
mod postgres_trouble;
mod relaying;
mod restore;
mod starts;
mod stops;
mod takeovers;
mod telemetry;
mod upgrade;
mod why;
mod windows;
