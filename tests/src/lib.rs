//! What the end-to-end tests share: a world of their own, with its own database, stream names and sandbox, and the
//! real binaries as processes that can be killed.

pub mod api;
pub mod identity_provider;
pub mod nats_server;
pub mod otlp;
pub mod postgres_server;
pub mod process;
pub mod proxy;
pub mod sandbox;
pub mod server_tools;
pub mod under_load;
pub mod unit;
pub mod wait;
pub mod world;
