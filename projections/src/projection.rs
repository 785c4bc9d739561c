//! What every read model is to the runner.

use async_trait::async_trait;
use domain::outcome::SyncOutcome;
use domain::recorded::{Position, Recorded};
use sqlx::PgConnection;

use crate::error::Error;

/// A sync job that an event has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The event's.
    pub position: Position,
    /// How.
    pub outcome: SyncOutcome,
    /// It had ended before: superseded, say, and taken after all.
    pub again: bool,
}

/// A read model made from the journal.
///
/// Its SQL names its own tables without a schema: a rebuild runs it under another `search_path`.
#[async_trait]
pub trait Projection: Send + Sync {
    /// Its name, which is also the key of its checkpoint.
    fn name(&self) -> &'static str;

    /// The tables that it alone writes.
    fn tables(&self) -> &'static [&'static str];

    /// The types of the events that can change something here, `None` for all: a rebuild reads no others.
    ///
    /// Invariant: with any other event [`Self::apply`] changes nothing.
    fn reads(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Whether an event of a listing changes rows of that listing alone, and counts that may be added up in any order: a rebuild
    /// then applies halves of the listings at the same time.
    ///
    /// Invariant: where it is so, [`Self::apply`] looks at no row of another listing, either.
    fn is_by_listing(&self) -> bool {
        false
    }

    /// Applies events in order of position, inside the caller's transaction.
    ///
    /// The caller leaves out what was applied before, and rolls back on an error. Gives the sync jobs that ended by it, from the
    /// one read model that has them all.
    async fn apply(&self, connection: &mut PgConnection, batch: &[Recorded]) -> Result<Vec<Ended>, Error>;
}
