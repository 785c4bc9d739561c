//! Listings whose creation was answered with an id at the channel of which nothing proves that it is theirs: whoever looks at what is there
//! asks for them by that id, and it may be another's.

use domain::ids::{ExternalId, ListingId, TargetId};
use domain::listing::LinkState;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::not_its_own::NotItsOwn;
use crate::commands::Commands;

/// Another listing whose creation was answered with this one's id at the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnprovedCreation {
    /// Which.
    pub listing_id: Uuid,
    /// Its unit.
    pub unit_id: String,
    #[serde(skip)]
    theirs: NotItsOwn,
}

/// Those that have none at the channel, though a sync of theirs has ended; first those whose last one named the id. The journal has the last word,
/// so a few are enough.
const CANDIDATES: &str = "
SELECT listing_id FROM channel_listings
WHERE ($1::uuid IS NULL OR target_id = $1) AND external_id IS NULL AND state <> 'unlinked' AND last_outcome IS NOT NULL
ORDER BY strpos(coalesce(last_detail, ''), $2) > 0 DESC, updated_at DESC LIMIT 20";

/// Those of a target, or of all. What the caller may see of them is for the caller to know.
pub async fn of(
    commands: &Commands,
    pool: &PgPool,
    target: Option<TargetId>,
    external: &ExternalId,
) -> Result<Vec<UnprovedCreation>, sqlx::Error> {
    let candidates = sqlx::query_scalar(CANDIDATES).bind(target.map(|target| target.0)).bind(&external.0);
    let candidates: Vec<Uuid> = candidates.fetch_all(pool).await?;
    let mut found = Vec::new();
    for listing_id in candidates {
        // Of one that this build cannot read nothing can be told.
        let Ok(listing) = commands.load_listing(ListingId(listing_id)).await else { continue };
        let is_linked = listing.state() != Some(LinkState::Unlinked);
        if listing.unproved() == Some(external)
            && is_linked
            && let (Some(link), Some(theirs)) = (listing.link(), NotItsOwn::unproved(&listing))
        {
            found.push(UnprovedCreation { listing_id, unit_id: link.unit_id.to_string(), theirs });
        }
    }
    Ok(found)
}

impl UnprovedCreation {
    /// What is known of it, and what helps.
    pub fn words(&self) -> String {
        let Self { listing_id, unit_id, theirs } = self;
        format!("Of listing {listing_id} (unit {unit_id}): {}.", theirs.words("its next change"))
    }
}
