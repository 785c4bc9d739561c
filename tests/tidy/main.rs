//! The architecture's rules as ordinary tests: they read the sources, and need no server.

mod addresses;
mod api;
mod bounds;
mod circles;
mod commands;
mod contracts;
mod deploy;
mod docs;
mod events;
mod files;
mod golden;
mod layers;
mod sbom;
mod schemas;
mod telemetry;
mod tree;
