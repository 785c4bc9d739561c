//! Why a listing refuses a command. A refusal is a value: the intake counts some of them as ignored.

use chrono::{DateTime, Utc};

use crate::ids::{ExternalId, OrgId, SyncId, UnitId};

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    /// The pair is linked already.
    #[error("this unit is linked to this target already")]
    AlreadyLinked,
    /// Nothing is linked here.
    #[error("there is no such listing")]
    NotFound,
    /// It was unlinked.
    #[error("this listing is unlinked; link it again first")]
    Unlinked,
    /// A pause of a paused listing.
    #[error("this listing is paused already")]
    AlreadyPaused,
    /// A resume of a listing that is not paused.
    #[error("this listing is not paused")]
    NotPaused,
    /// A snapshot of something else.
    #[error("this snapshot shows unit {unit} of organisation {org}, not the unit of this listing")]
    ForeignSnapshot {
        /// Whose unit it shows.
        org: OrgId,
        /// Which unit it shows.
        unit: UnitId,
    },
    /// A snapshot of its unit in an account that it does not take from.
    #[error(
        "its unit belongs to another account now, and nothing of it is sent from there: unlink the listing, or move \
         the unit back"
    )]
    UnitElsewhere,
    /// A revision that was taken already.
    #[error("revision {0} of the unit was taken already")]
    DuplicateRevision(u64),
    /// A revision older than one that was taken.
    #[error("revision {got} of the unit is older than revision {have}, which was taken already")]
    StaleRevision {
        /// The newest revision taken.
        have: u64,
        /// The one that came.
        got: u64,
    },
    /// A sync that is not this listing's, or not in a state for this.
    #[error("sync {0} is not pending")]
    NotPending(SyncId),
    /// The listing exists at the channel already.
    #[error("the channel has this listing already")]
    AlreadyCreated,
    /// A creation was given an id of which nobody knows whether it is this listing's: another link would create a second one.
    #[error(
        "a creation of it was answered with {0}, and nothing proves that this is its own: link it to that one by its id, or afresh, to have \
         another one made"
    )]
    Unproved(ExternalId),
    /// Another attempt may be creating it right now.
    #[error("another attempt started to create this listing and may still be under way until {until}")]
    CreationUnderWay {
        /// From when on it cannot arrive any more, UTC.
        until: DateTime<Utc>,
    },
}
