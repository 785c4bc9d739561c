//! A listing as every answer shows it, read from the read models.

use chrono::{DateTime, Utc};
use domain::ids::SyncId;
use domain::listing::LinkState;
use domain::outcome::SyncOutcome;
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// A listing. What is `None` by name of `linked_…` or `updated_…` is not seen by a projector yet.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the read model")]
pub struct Listing {
    pub listing_id: Uuid,
    pub org_id: String,
    pub account_id: String,
    pub unit_id: String,
    pub target_id: Uuid,
    pub target_name: Option<String>,
    /// `active`, `paused`, `unlinked`, or [`TARGET_DELETED`].
    pub state: String,
    pub generation: i64,
    pub external_id: Option<String>,
    /// Of the snapshot that was asked for last.
    pub revision: Option<i64>,
    pub snapshot: Option<String>,
    /// That of the newest sync that succeeded since it was linked: what an earlier link sent tells nothing of what the channel has now. As long
    /// as nothing newer is asked for, `rejected` names what was refused of it.
    pub accepted_snapshot: Option<String>,
    pub pending_sync_id: Option<Uuid>,
    /// The sync that ended last since it was linked; of a deleted target the one that waited and ended with it.
    pub last_sync_id: Option<Uuid>,
    pub last_outcome: Option<String>,
    pub last_detail: Option<String>,
    /// Parts that the channel or the mapping left out.
    #[schema(value_type = Vec<Object>)]
    pub rejected: Value,
    /// Its unit belongs to another account now, and nothing of it is sent from there.
    pub unit_elsewhere: bool,
    pub linked_by: Option<String>,
    pub linked_at: Option<DateTime<Utc>>,
    /// When the channel took something last since then; what it took by an earlier link stands in the history.
    pub last_accepted_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    /// Sequence of the last event that the read model has seen.
    pub version: Option<i64>,
}

impl Listing {
    /// How a sync ended, where it is the one that ended last; a read model that lags tells of another one.
    pub fn outcome_of(&self, sync: SyncId) -> Option<SyncOutcome> {
        let is_last = self.last_sync_id == Some(sync.0);
        self.last_outcome.as_deref().filter(|_| is_last).and_then(SyncOutcome::named)
    }
}

/// The state of a listing whose target was deleted under it: nothing is sent any more.
pub const TARGET_DELETED: &str = "target_deleted";

/// The states of a listing.
pub fn states() -> [&'static str; 4] {
    let [active, paused, unlinked] = LinkState::ALL.map(LinkState::as_str);
    [active, paused, TARGET_DELETED, unlinked]
}

/// Every listing, as a [`Listing`]. A reader who does not have the account of a unit does not see the unit's row, so where none is seen Postgres
/// is asked whether there is one elsewhere (`migrations/0044_unit_is_elsewhere.sql`). What waited ended with its target, which is no event of the
/// listing's: how its last sync stands then is told as the audit has it, or, where the row is gone from there, as the listing does.
pub const LISTINGS: &str = "
SELECT l.listing_id, l.org_id, l.account_id, l.unit_id, l.target_id, t.name AS target_name,
    CASE WHEN l.state <> 'unlinked' AND t.lifecycle = 'deleted' THEN 'target_deleted' ELSE l.state END AS state,
    l.generation::bigint AS generation, l.external_id, l.revision, encode(l.snapshot, 'hex') AS snapshot,
    encode(l.accepted_snapshot, 'hex') AS accepted_snapshot,
    CASE WHEN t.lifecycle IS DISTINCT FROM 'deleted' THEN l.pending_sync_id END AS pending_sync_id,
    CASE WHEN t.lifecycle = 'deleted' THEN COALESCE(l.pending_sync_id, l.last_sync_id) ELSE l.last_sync_id END AS last_sync_id,
    CASE WHEN t.lifecycle IS DISTINCT FROM 'deleted' THEN l.last_outcome WHEN l.pending_sync_id IS NOT NULL THEN 'cancelled'
        ELSE COALESCE((SELECT outcome FROM outbound_audit WHERE sync_id = l.last_sync_id), l.last_outcome) END AS last_outcome,
    CASE WHEN t.lifecycle IS DISTINCT FROM 'deleted' THEN l.last_detail
        WHEN l.pending_sync_id IS NULL AND NOT EXISTS (SELECT 1 FROM outbound_audit WHERE sync_id = l.last_sync_id) THEN l.last_detail
        ELSE (SELECT detail FROM outbound_audit WHERE sync_id = COALESCE(l.pending_sync_id, l.last_sync_id)) END AS last_detail,
    l.rejected,
    CASE WHEN l.state = 'unlinked' OR t.lifecycle IS NOT DISTINCT FROM 'deleted' THEN false
        WHEN u.account_id IS NULL THEN unit_is_elsewhere(l.listing_id)
        ELSE u.account_id <> l.account_id AND u.account_id IS DISTINCT FROM l.from_account_id END AS unit_elsewhere,
    l.linked_by, l.linked_at, l.last_accepted_at, l.updated_at, l.version
FROM channel_listings AS l LEFT JOIN channel_targets AS t ON t.target_id = l.target_id
LEFT JOIN units AS u ON u.org_id = l.org_id AND u.unit_id = l.unit_id";
