//! Listings whose creation was answered with an id at the channel of which nothing proves that it is theirs: whoever looks at what is there
//! asks for them by that id, and it may be another's.

use domain::counted::counted;
use domain::ids::{ExternalId, ListingId, TargetId};
use domain::listing::{LinkState, ListingError};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::not_its_own::NotItsOwn;
use crate::commands::{CommandError, Commands};

/// Of more than these it is only told how many there are.
const TOLD: usize = 3;

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

/// Those of a target that have none at the channel, though something was sent for them or is about to be; first those whose last sync named the
/// id. The journal has the last word, so a few are enough.
const OF_TARGET: &str = "
SELECT listing_id FROM channel_listings
WHERE target_id = $2 AND external_id IS NULL AND state <> 'unlinked' AND (last_outcome IS NOT NULL OR pending_sync_id IS NOT NULL)
ORDER BY strpos(coalesce(last_detail, ''), $1) > 0 DESC, last_outcome IS NULL DESC, updated_at DESC LIMIT 10";

/// The same of all: it reads the whole table, for one person who has nothing else.
const OF_ALL: &str = "
SELECT listing_id FROM channel_listings
WHERE external_id IS NULL AND state <> 'unlinked' AND (last_outcome IS NOT NULL OR pending_sync_id IS NOT NULL)
ORDER BY strpos(coalesce(last_detail, ''), $1) > 0 DESC, last_outcome IS NULL DESC, updated_at DESC LIMIT 20";

/// Those of a target. What the caller may see of them is for the caller to know.
pub async fn of_target(
    commands: &Commands,
    pool: &PgPool,
    target: TargetId,
    external: &ExternalId,
) -> Result<Vec<UnprovedCreation>, CommandError<ListingError>> {
    let candidates = sqlx::query_scalar(OF_TARGET).bind(&external.0).bind(target.0).fetch_all(pool).await;
    judged(commands, candidates, external).await
}

/// Those of all targets.
pub async fn of_all(
    commands: &Commands,
    pool: &PgPool,
    external: &ExternalId,
) -> Result<Vec<UnprovedCreation>, CommandError<ListingError>> {
    let candidates = sqlx::query_scalar(OF_ALL).bind(&external.0).fetch_all(pool).await;
    judged(commands, candidates, external).await
}

async fn judged(
    commands: &Commands,
    candidates: Result<Vec<Uuid>, sqlx::Error>,
    external: &ExternalId,
) -> Result<Vec<UnprovedCreation>, CommandError<ListingError>> {
    let candidates = candidates.map_err(|error| CommandError::Unavailable(error.to_string()))?;
    let mut found = Vec::new();
    for listing_id in candidates {
        let listing = match commands.load_listing(ListingId(listing_id)).await {
            // Of one that this build cannot read nothing can be told.
            Err(CommandError::Unreadable(_)) => continue,
            loaded => loaded?,
        };
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

/// What is known of them: of one what helps, too; of each of several who says that.
pub fn words(found: &[UnprovedCreation]) -> Vec<String> {
    if let [UnprovedCreation { listing_id, unit_id, theirs }] = found {
        return vec![format!("Of listing {listing_id} (unit {unit_id}): {}", theirs.words("its next change"))];
    }
    let mut lines: Vec<String> = found.iter().take(TOLD).map(UnprovedCreation::brief).collect();
    let more = found.len().saturating_sub(TOLD);
    lines.extend((more > 0).then(|| format!("The same is true of {} more.", counted(more, "listing"))));
    lines
}

impl UnprovedCreation {
    fn brief(&self) -> String {
        let Self { listing_id, unit_id, theirs: NotItsOwn { because, .. } } = self;
        format!(
            "Of listing {listing_id} (unit {unit_id}): {because}. `distribution explain {listing_id}` says what helps."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_a_few_are_told_each_in_short() {
        let one = |n: u128| UnprovedCreation {
            listing_id: Uuid::from_u128(n),
            unit_id: format!("villa-{n}"),
            theirs: NotItsOwn::because("nobody knows"),
        };
        let of = |n: u128| format!("Of listing {} (unit villa-{n}): nobody knows. ", Uuid::from_u128(n));
        let alone = of(1) + "So its next change is refused in the same way, unless it is proved. Look.";
        assert_eq!((words(&[]), words(&[one(1)])), (Vec::new(), vec![alone]));
        let told = words(&(1..=5).map(one).collect::<Vec<_>>());
        let brief = |n: u128| format!("{}`distribution explain {}` says what helps.", of(n), Uuid::from_u128(n));
        assert_eq!(told, [brief(1), brief(2), brief(3), "The same is true of 2 listings more.".to_owned()]);
    }
}
