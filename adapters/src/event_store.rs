//! The journal: cqrs-es's event store over one Postgres table.
//!
//! postgres-es gives the table layout and reads whole streams; what it does not give is here: group commit, loads that
//! are gathered the same way, a cache of hot aggregates, positions, and a gap-safe reader.
//!
//! Invariant: every append goes through [`append`], so none forgets the fence lock.

mod append;
mod asked;
mod cache;
mod followers;
mod group;
mod load;
mod log;
mod long_reads;
mod state;
mod store;
mod stored;
mod version;

pub use followers::LinkedListing;
pub use group::STATEMENTS;
pub use log::PgEventLog;
pub use store::{Journal, JournalContext, JournalError, JournalOptions, Moved};
pub use stored::{StoredEvent, Unreadable};

/// The advisory lock that appends share and that a reader takes for a moment to know what is settled.
const FENCE: i64 = 0x6368_616e_6e65_6c73;

/// Metadata keys that a commit adds to each envelope.
pub mod metadata_key {
    /// The event's place in the journal.
    pub const POSITION: &str = "position";
    /// The event's id.
    pub const EVENT_ID: &str = "event_id";
}
