//! Who holds a listing at the channel. Two of ours that write to one of theirs would overwrite each other for ever.

use adapters::postgres::begin;
use domain::ids::{ExternalId, ListingId, TargetId};
use domain::listing::LinkState;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::syncing::{SyncError, Syncing};

/// Those that the read model names, and those that the journal named after it: it may lag. In a CASE, so that the payloads of
/// events that can name none, half of all, are left alone.
const CANDIDATES: &str = "
SELECT listing_id::text FROM channel_listings WHERE external_id = $1
UNION
SELECT aggregate_id FROM events
WHERE position > (SELECT coalesce(max(position), 0) FROM projection_checkpoints WHERE name = 'channel_listings')
    AND aggregate_type = 'ChannelListing'
    AND CASE WHEN event_type NOT IN (
            'SyncRequested', 'SyncSkipped', 'CreationStarted', 'ListingPaused', 'ListingResumed', 'ListingUnlinked')
        THEN $1 IN (payload #>> ARRAY[event_type, 'external_id'],
            payload #>> ARRAY[event_type, 'attempt', 'progress', 'external_id']) END";

/// From here until the end of the transaction nobody else links the same listing of this target.
pub(crate) async fn lock(
    pool: &PgPool,
    target: TargetId,
    external: &ExternalId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut lock = begin(pool).await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("link/{target}/{external}"))
        .execute(&mut *lock)
        .await?;
    Ok(lock)
}

impl Syncing {
    /// Refuses what another listing of the target holds that is still linked.
    pub(crate) async fn must_be_free(
        &self,
        connection: &mut PgConnection,
        (target, own): (TargetId, ListingId),
        external: &ExternalId,
    ) -> Result<(), SyncError> {
        let found: Vec<String> = sqlx::query_scalar(CANDIDATES).bind(&external.0).fetch_all(connection).await?;
        for id in found.iter().filter_map(|id| id.parse::<ListingId>().ok()).filter(|id| *id != own) {
            // The aggregate has the last word: the candidate may have been linked elsewhere since.
            let listing = self.commands().load_listing(id).await?;
            let Some(link) = listing.link().filter(|link| link.target_id == target) else { continue };
            if listing.external_id() == Some(external) && listing.state() != Some(LinkState::Unlinked) {
                let (external_id, unit_id) = (external.clone(), link.unit_id.clone());
                return Err(SyncError::ExternalIdTaken { external_id, listing_id: id, unit_id });
            }
        }
        Ok(())
    }
}
