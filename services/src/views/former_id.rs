//! A listing by an id that it had at the channel before it was linked again: whoever looks into an old call, or at the channel itself, often
//! has nothing else at hand. The read model keeps the id of now, so the journal is asked, listing by listing.

use adapters::dispatch::{NAMES_ID, in_json};
use chrono::{DateTime, Utc};
use domain::channel::ChannelKind;
use domain::ids::ExternalId;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::moment::moment;

/// A listing that had another id at the channel.
#[derive(Debug, Clone, FromRow)]
pub struct HadIt {
    /// Which.
    pub listing_id: Uuid,
    /// When it was linked again after that; not known where nothing but an attempt that was told late names the id.
    pub until: Option<DateTime<Utc>>,
}

/// None but a listing that was linked again has had another id, and of those the 1,000 that were linked last are looked through, each by the
/// index of its own events: the LIMIT inside keeps Postgres from reading the whole journal at once instead. What was told late tells nothing of
/// when, so it counts where nothing else names the id.
fn looked_through() -> String {
    format!(
        "
WITH again AS MATERIALIZED (
    SELECT listing_id FROM channel_listings
    WHERE generation > 1 AND external_id IS DISTINCT FROM $1
        AND ($2::text IS NULL OR org_id = $2) AND ($4::text[] IS NULL OR account_id = ANY ($4))
    ORDER BY linked_at DESC NULLS LAST LIMIT 1000)
SELECT a.listing_id, named.until
FROM again AS a CROSS JOIN LATERAL (
    SELECT (SELECT min(n.recorded_at) FROM events AS n
            WHERE n.aggregate_type = 'ChannelListing' AND n.aggregate_id = a.listing_id::text AND n.sequence > e.sequence
                AND n.event_type = 'ListingLinked') AS until
    FROM events AS e
    WHERE e.aggregate_type = 'ChannelListing' AND e.aggregate_id = a.listing_id::text
        AND ($2::text IS NULL OR e.org_id = $2) AND {NAMES_ID}
    ORDER BY (e.event_type = 'LateAttemptRecorded'), e.sequence DESC LIMIT 1) AS named
ORDER BY a.listing_id LIMIT 50"
    )
}

/// This as the id of a listing, where a channel could have given it.
pub fn could_be(text: &str) -> Option<ExternalId> {
    ChannelKind::ALL.iter().find_map(|channel| channel.external_id(text).ok())
}

/// Those that had this id before, and have another one or none now. `org` and `accounts` are whose; `None` where they are not asked for.
pub async fn had_it(
    connection: &mut PgConnection,
    external_id: &ExternalId,
    org: Option<&str>,
    accounts: Option<Vec<String>>,
) -> Result<Vec<HadIt>, sqlx::Error> {
    let statement = looked_through();
    let rows = sqlx::query_as(&statement).bind(&external_id.0).bind(org).bind(in_json(external_id));
    rows.bind(accounts).fetch_all(connection).await
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
