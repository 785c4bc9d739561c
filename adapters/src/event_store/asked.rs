//! When a sync was asked for, by the journal itself.

use chrono::{DateTime, Utc};
use domain::ids::{ListingId, SyncId};

use super::store::Journal;

impl Journal {
    /// When a sync of a listing was asked for, UTC; `None` where the journal has no such sync.
    pub async fn asked_for_at(&self, listing: ListingId, sync: SyncId) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        let when = sqlx::query_scalar(
            "SELECT recorded_at FROM events
             WHERE aggregate_type = 'ChannelListing' AND aggregate_id = $1 AND event_type = 'SyncRequested'
                AND payload #>> '{SyncRequested,request,sync_id}' = $2
             ORDER BY sequence DESC LIMIT 1",
        );
        when.bind(listing.to_string()).bind(sync.to_string()).fetch_optional(self.pool()).await
    }
}
