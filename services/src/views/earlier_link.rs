//! What the channel took of a listing before it was linked again. A link starts over, and with it what is told of the listing; that the channel
//! took the unit all the same is told beside it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::listings::Listing;

/// By which link it took it, where that is none of now.
pub const BY_EARLIER: &str = "by an earlier link";

const TAKEN: &str = "
SELECT (payload #>> '{SyncAccepted,attempt,finished_at}')::timestamptz FROM events
WHERE aggregate_type = 'ChannelListing' AND aggregate_id = $1 AND event_type = 'SyncAccepted' AND recorded_at < $2
ORDER BY sequence DESC LIMIT 1";

/// When it took something last by an earlier link; `None` where it has by this one, or never did.
pub async fn taken_at(connection: &mut PgConnection, listing: &Listing) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let starts_over = listing.generation > 1 && listing.last_accepted_at.is_none();
    let Some(linked_at) = listing.linked_at.filter(|_| starts_over) else { return Ok(None) };
    sqlx::query_scalar(TAKEN).bind(listing.listing_id.to_string()).bind(linked_at).fetch_optional(connection).await
}

/// When it took something, where it took nothing by this link: what was before is not looked at.
pub fn never(listing: &Listing) -> &'static str {
    if listing.generation > 1 { "not since it was linked again" } else { "never" }
}
