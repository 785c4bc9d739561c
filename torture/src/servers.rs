//! Postgres and NATS of a run, started here so that they can be killed.

mod disk;
mod nats;
mod port;

pub use end_to_end::nats_server::{empty, fill};
pub use end_to_end::postgres_server::PostgresServer;
pub use end_to_end::server_tools::Tools;
pub use nats::NatsServer;
pub use port::Port;
