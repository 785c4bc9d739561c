//! Read models: events in, SQL out, the checkpoint in the same transaction.
//!
//! Each projection loads the rows that a batch touches, folds the events in memory in order, and stores what changed:
//! a handful of statements per batch, whatever its size. Rows depend on events alone, never on a clock or on how the
//! events were cut into batches, so a rebuilt read model equals the live one row for row.
//!
//! Reading order: [`projection`], one read model (e.g. [`sync_queue`]), [`runner`], [`rebuild`].

mod behind;
pub mod channel_listings;
pub mod channel_targets;
mod checkpoint;
mod column;
pub mod coverage;
mod deleted_targets;
pub mod error;
pub mod lag;
pub mod outbound_audit;
pub mod projection;
pub mod rebuild;
mod registry;
pub mod runner;
mod sequence;
pub mod sync_queue;
pub mod target_health;
mod working;

pub use coverage::{Coverage, audit_coverage};
pub use error::Error;
pub use lag::Lag;
pub use projection::{Ended, Projection};
pub use rebuild::{Rebuilt, TableDifference};
pub use registry::all;
pub use runner::Runner;
