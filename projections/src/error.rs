//! Why events could not be applied.

use domain::journal::JournalUnreadable;
use uuid::Uuid;

/// A failure. Nothing of the batch was kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres refused or was away.
    #[error("failed to write a read model")]
    Database(#[from] sqlx::Error),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalUnreadable),
    /// Events of an aggregate are missing before this one.
    #[error("{projection}: aggregate {aggregate_id} stands at event {have}, but the next one that came is {got}")]
    Hole {
        /// Who saw it.
        projection: &'static str,
        /// The aggregate.
        aggregate_id: Uuid,
        /// Sequence of the last event that was applied.
        have: i64,
        /// Sequence of the event that came.
        got: i64,
    },
    /// Events are missing before a batch, and the journal does not have them.
    #[error("{projection}: the journal ends at {checkpoint}, but a batch follows position {previous}")]
    Gap {
        /// Who saw it.
        projection: &'static str,
        /// Position of the last event that was applied.
        checkpoint: i64,
        /// Position that the batch follows.
        previous: i64,
    },
    /// The journal does not have the last event of a batch.
    #[error(
        "the journal does not have the event that came for position {position}: it was put back to an earlier state"
    )]
    Lost {
        /// Where it stood.
        position: i64,
    },
    /// No projection of this name.
    #[error("there is no projection {name:?}; there are {known}")]
    UnknownProjection {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Somebody rebuilds or verifies the same projection.
    #[error("projection {0} is being rebuilt or verified by somebody else; try again when that has ended")]
    RebuildRunning(String),
    /// The schema was migrated while the new tables were made.
    #[error(
        "projection {projection} is as it was: the schema was migrated from {before} to {now} while it was made anew, \
         and the new tables may lack what that has changed; rebuild it again"
    )]
    MigratedMeanwhile {
        /// Which.
        projection: &'static str,
        /// The newest migration when the new tables were made.
        before: i64,
        /// The newest one at the swap.
        now: i64,
    },
}
