//! The journal as its readers see it: events in order of position, never with a hole that could still be filled.

use async_trait::async_trait;

use crate::recorded::{Position, Recorded};

/// The journal could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the journal")]
pub struct JournalUnreadable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The journal in order of position.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// The highest position below which nothing can appear any more.
    ///
    /// Invariant: identity values become visible out of order, so this waits for every append that is under way.
    async fn settled(&self) -> Result<Position, JournalUnreadable>;

    /// Up to `limit` events of these types, `None` for all, after `after` and up to `up_to`, in order of position. `up_to` is a
    /// settled position.
    async fn read(
        &self,
        types: Option<&[&str]>,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, JournalUnreadable>;
}
