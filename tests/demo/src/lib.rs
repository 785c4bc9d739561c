//! What the demo and the end-to-end tests share: villas to publish, and whether a channel shows what a unit says.

pub mod compare;
pub mod villas;
