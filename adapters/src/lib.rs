//! The outside world, one module each: the journal and the other tables that are not read models, NATS, Hostaway,
//! identity, secrets, telemetry, and where calls may go. Nothing here decides anything about units, targets or listings: that is the
//! domain's.

pub mod destinations;
pub mod dispatch;
pub mod event_store;
mod grouped;
pub mod hostaway;
pub mod identity;
pub mod leader;
pub mod masking;
pub mod nats;
pub mod postgres;
pub mod secrets;
pub mod telemetry;
pub mod units;
#[cfg(test)]
#[path = "../../fuzz/variations.rs"]
mod variations;
