//! What the demo and the end-to-end tests share: villas to publish, and whether a channel shows what a unit says. And where the demo's service
//! listens.

pub mod compare;
pub mod listening;
pub mod villas;
