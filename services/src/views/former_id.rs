//! A listing by an id that it had at the channel before it was linked again: whoever looks into an old call, or at the channel itself, often
//! has nothing else at hand. The read model keeps the id of now, so the journal is asked, listing by listing.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::moment::moment;

/// A listing that had another id at the channel.
#[derive(Debug, Clone, FromRow)]
pub struct HadIt {
    /// Which.
    pub listing_id: Uuid,
    /// When it was linked again after that, where an attempt that was told late does not name the id since.
    pub until: Option<DateTime<Utc>>,
}

/// None but a listing that was linked again has had another id, and of those the 1,000 that were linked last are looked through, each by the
/// index of its own events: the LIMIT inside keeps Postgres from reading the whole journal at once instead.
const HAD_IT: &str = "
WITH again AS MATERIALIZED (
    SELECT listing_id FROM channel_listings
    WHERE generation > 1 AND external_id IS DISTINCT FROM $1
        AND ($2::text IS NULL OR org_id = $2) AND ($3::text[] IS NULL OR account_id = ANY ($3))
    ORDER BY linked_at DESC NULLS LAST LIMIT 1000)
SELECT a.listing_id, named.until
FROM again AS a CROSS JOIN LATERAL (
    SELECT (SELECT min(n.recorded_at) FROM events AS n
            WHERE n.aggregate_type = 'ChannelListing' AND n.aggregate_id = a.listing_id::text AND n.sequence > e.sequence
                AND n.event_type = 'ListingLinked') AS until
    FROM events AS e
    WHERE e.aggregate_type = 'ChannelListing' AND e.aggregate_id = a.listing_id::text
        AND $1 IN (e.payload #>> ARRAY[e.event_type, 'external_id'],
            e.payload #>> ARRAY[e.event_type, 'attempt', 'progress', 'external_id'])
    ORDER BY e.sequence DESC LIMIT 1) AS named
ORDER BY a.listing_id LIMIT 50";

/// Those that had this id before, and have another one or none now. `org` and `accounts` are whose; `None` where they are not asked for.
pub async fn had_it(
    connection: &mut PgConnection,
    external_id: &str,
    org: Option<&str>,
    accounts: Option<Vec<String>>,
) -> Result<Vec<HadIt>, sqlx::Error> {
    sqlx::query_as(HAD_IT).bind(external_id).bind(org).bind(accounts).fetch_all(connection).await
}

impl HadIt {
    /// `40002 was its listing at the channel until it was linked again at …`.
    pub fn words(&self, external_id: &str) -> String {
        match self.until {
            Some(until) => {
                format!("{external_id} was its listing at the channel until it was linked again at {}.", moment(until))
            }
            None => format!("{external_id} was its listing at the channel before it was linked again."),
        }
    }
}
