//! Which state of the past is meant: a snapshot, or the one that was the newest at a sync, a position or a time.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::hash::SnapshotHash;
use domain::ids::{ListingId, SyncId};
use sqlx::PgConnection;

/// A point in a listing's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayPoint {
    /// This snapshot.
    Snapshot(SnapshotHash),
    /// The snapshot of this sync of the listing.
    Sync(SyncId),
    /// The newest at this position, which lies within the listing's history.
    Position(i64),
    /// The newest at this time, UTC, which is not later than now.
    AsOf(DateTime<Utc>),
}

/// Why no snapshot stands there.
#[derive(Debug, thiserror::Error)]
pub enum NoSnapshot {
    /// The listing has no events.
    #[error("there is no such listing")]
    NoListing,
    /// It has asked for nothing yet.
    #[error("listing {0} has asked for no snapshot yet")]
    NothingAsked(ListingId),
    /// Not this listing's sync.
    #[error("listing {listing} has no sync {sync}")]
    NoSync {
        /// The listing.
        listing: ListingId,
        /// What was looked for.
        sync: SyncId,
    },
    /// A position after the last event would quietly mean the newest snapshot, which is what a sync is for.
    #[error("position {position} is outside the history of listing {listing}: use {first} to {last}")]
    Outside {
        /// The listing.
        listing: ListingId,
        /// What was asked for.
        position: i64,
        /// The first that has a snapshot.
        first: i64,
        /// The listing's last event.
        last: i64,
    },
    /// Nothing had been asked for by then.
    #[error("listing {listing} had asked for no snapshot by {}", at.to_rfc3339())]
    TooEarly {
        /// The listing.
        listing: ListingId,
        /// What was asked for.
        at: DateTime<Utc>,
    },
    /// A time that has not come yet would mean the newest snapshot, too, and another one when it comes.
    #[error(
        "must not be later than now, which is {}: give a time of the past",
        now.to_rfc3339_opts(SecondsFormat::Millis, true)
    )]
    TooLate {
        /// The time of the journal, by which it knows when events were recorded.
        now: DateTime<Utc>,
    },
    /// Postgres failed.
    #[error("failed to read the journal: {0}")]
    Database(#[from] sqlx::Error),
    /// What stands there is no address of a snapshot.
    #[error("the journal names no snapshot there: {0}")]
    Unreadable(String),
}

const REQUESTS: &str = "
SELECT payload #>> ARRAY[event_type, 'request', 'snapshot'] FROM events
WHERE aggregate_type = 'ChannelListing' AND aggregate_id = $1 AND event_type IN ('SyncRequested', 'SyncSkipped')
    AND ($2::text IS NULL OR payload #>> ARRAY[event_type, 'request', 'sync_id'] = $2)
    AND ($3::bigint IS NULL OR position <= $3) AND ($4::timestamptz IS NULL OR recorded_at <= $4)
ORDER BY sequence DESC LIMIT 1";

/// From the first snapshot that was asked for to the listing's last event; and the time, where the one that is meant is later.
const SPAN: &str = "
SELECT min(position) FILTER (WHERE event_type IN ('SyncRequested', 'SyncSkipped')), max(position),
    CASE WHEN $2::timestamptz > clock_timestamp() THEN clock_timestamp() END FROM events
WHERE aggregate_type = 'ChannelListing' AND aggregate_id = $1";

impl ReplayPoint {
    /// The snapshot that stands there. The journal knows every one that was ever asked for, skipped ones too.
    pub async fn snapshot(self, reader: &mut PgConnection, listing: ListingId) -> Result<SnapshotHash, NoSnapshot> {
        let (sync, position, at) = match self {
            Self::Snapshot(hash) => return Ok(hash),
            Self::Sync(sync) => (Some(sync), None, None),
            Self::Position(position) => (None, Some(position), None),
            Self::AsOf(at) => (None, None, Some(at)),
        };
        let span = sqlx::query_as(SPAN).bind(listing.to_string()).bind(at).fetch_one(&mut *reader).await?;
        let (first, last, now): (Option<i64>, Option<i64>, Option<DateTime<Utc>>) = span;
        let last = last.ok_or(NoSnapshot::NoListing)?;
        let first = first.ok_or(NoSnapshot::NothingAsked(listing))?;
        if let Some(position) = position.filter(|position| !(first..=last).contains(position)) {
            return Err(NoSnapshot::Outside { listing, position, first, last });
        }
        if let Some(now) = now {
            return Err(NoSnapshot::TooLate { now });
        }
        let query = sqlx::query_scalar(REQUESTS).bind(listing.to_string()).bind(sync.map(|sync| sync.to_string()));
        let found: Option<String> = query.bind(position).bind(at).fetch_optional(reader).await?;
        let missing = || match (sync, at) {
            (Some(sync), _) => NoSnapshot::NoSync { listing, sync },
            (None, Some(at)) => NoSnapshot::TooEarly { listing, at },
            (None, None) => NoSnapshot::NothingAsked(listing),
        };
        let found = found.ok_or_else(missing)?;
        found.parse().map_err(|_| NoSnapshot::Unreadable(found))
    }
}
