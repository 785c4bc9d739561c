//! Whatever somebody has at hand, a listing, a sync, an id at the channel or a unit: which listing is it about?

use domain::ids::{ExternalId, ListingId, SyncId};
use domain::listing::ListingError;
use sqlx::PgPool;
use uuid::Uuid;

use crate::commands::{CommandError, Commands};
use crate::views::former_id::{HadIt, could_be, had_it};
use crate::views::listings::{LISTINGS, Listing};
use crate::views::unproved_creations;

/// More listings than this are not listed.
const MOST: i64 = 100;

/// What an id means.
#[derive(Debug)]
pub enum Found {
    /// One listing.
    Listing(ListingId),
    /// A sync of a listing.
    Sync(ListingId, SyncId),
    /// One listing had this id at its channel before it was linked again.
    Former(ListingId, HadIt),
    /// Several listings have this id at their channels, or show this unit.
    Several(Vec<Listing>),
    /// Several listings had this id at their channels before they were linked again.
    SeveralFormer(Vec<Listing>),
}

/// Why nothing is found.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// Nothing is called so.
    #[error(
        "nothing is called {0:?}: give a listing, a sync, the id of a listing at its channel, or a unit \
         (`distribution listing list` and `distribution audit tail` show them)"
    )]
    Nothing(String),
    /// A listing could not be read.
    #[error("{0}")]
    Listing(CommandError<ListingError>),
    /// Postgres failed.
    #[error("failed to look it up: {0}")]
    Database(#[from] sqlx::Error),
}

const IS_LISTING: &str = "
SELECT EXISTS (SELECT FROM events WHERE aggregate_type = 'ChannelListing' AND aggregate_id = $1)";

/// The journal is asked for what the audit does not show yet.
const OF_SYNC: &str = "
SELECT listing_id FROM outbound_audit WHERE sync_id = $1
UNION ALL
SELECT aggregate_id::uuid FROM events
WHERE position > coalesce((SELECT position FROM projection_checkpoints WHERE name = 'outbound_audit'), 0)
    AND event_type IN ('SyncRequested', 'SyncSkipped')
    AND payload #>> ARRAY[event_type, 'request', 'sync_id'] = $1::text
LIMIT 1";

/// Looks an id up.
pub async fn find(pool: &PgPool, commands: &Commands, text: &str) -> Result<Found, NotFound> {
    if let Ok(id) = text.parse::<Uuid>() {
        if sqlx::query_scalar(IS_LISTING).bind(id.to_string()).fetch_one(pool).await? {
            return Ok(Found::Listing(ListingId(id)));
        }
        let listing: Option<Uuid> = sqlx::query_scalar(OF_SYNC).bind(id).fetch_optional(pool).await?;
        if let Some(listing) = listing {
            return Ok(Found::Sync(ListingId(listing), SyncId(id)));
        }
    }
    let named = format!(
        "SELECT * FROM ({LISTINGS} WHERE l.external_id = $1 OR l.unit_id = $1) AS l ORDER BY target_name, unit_id LIMIT $2"
    );
    let mut listings: Vec<Listing> = sqlx::query_as(&named).bind(text).bind(MOST).fetch_all(pool).await?;
    match listings.len() {
        0 => unproved(pool, commands, text).await,
        1 => Ok(Found::Listing(ListingId(listings.remove(0).listing_id))),
        _ => Ok(Found::Several(listings)),
    }
}

/// What nobody holds may be what a creation was answered with.
async fn unproved(pool: &PgPool, commands: &Commands, text: &str) -> Result<Found, NotFound> {
    let found =
        unproved_creations::of_all(commands, pool, &ExternalId(text.to_owned())).await.map_err(NotFound::Listing)?;
    let ids: Vec<Uuid> = found.iter().map(|one| one.listing_id).collect();
    match ids[..] {
        [] => former(pool, text).await,
        [one] => Ok(Found::Listing(ListingId(one))),
        _ => Ok(Found::Several(several(pool, &ids).await?)),
    }
}

/// What nobody has now, and nobody was given, somebody may have had.
async fn former(pool: &PgPool, text: &str) -> Result<Found, NotFound> {
    let mut found = match could_be(text) {
        Some(id) => had_it(&mut *pool.acquire().await?, &id, None, None).await?,
        None => Vec::new(),
    };
    match found.len() {
        0 => Err(NotFound::Nothing(text.chars().take(100).collect())),
        1 => {
            let one = found.remove(0);
            Ok(Found::Former(ListingId(one.listing_id), one))
        }
        _ => {
            let ids: Vec<Uuid> = found.iter().map(|one| one.listing_id).collect();
            Ok(Found::SeveralFormer(several(pool, &ids).await?))
        }
    }
}

async fn several(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<Listing>, sqlx::Error> {
    let named = format!("{LISTINGS} WHERE l.listing_id = ANY ($1) ORDER BY target_name, l.unit_id");
    sqlx::query_as(&named).bind(ids).fetch_all(pool).await
}
