//! A listing as every answer shows it, read from the read models.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

/// A listing. What is `None` by name of `linked_…` or `updated_…` is not seen by a projector yet.
#[derive(Debug, FromRow, Serialize)]
pub(super) struct Listing {
    pub(super) listing_id: Uuid,
    pub(super) org_id: String,
    pub(super) account_id: String,
    pub(super) unit_id: String,
    pub(super) target_id: Uuid,
    pub(super) target_name: Option<String>,
    /// `active`, `paused`, `unlinked`, or [`TARGET_DELETED`].
    pub(super) state: String,
    pub(super) generation: i64,
    pub(super) external_id: Option<String>,
    /// Of the snapshot that was asked for last.
    pub(super) revision: Option<i64>,
    pub(super) snapshot: Option<String>,
    pub(super) accepted_snapshot: Option<String>,
    pub(super) pending_sync_id: Option<Uuid>,
    pub(super) last_sync_id: Option<Uuid>,
    pub(super) last_outcome: Option<String>,
    pub(super) last_detail: Option<String>,
    pub(super) rejected: Value,
    pub(super) linked_by: Option<String>,
    pub(super) linked_at: Option<DateTime<Utc>>,
    pub(super) last_accepted_at: Option<DateTime<Utc>>,
    pub(super) updated_at: Option<DateTime<Utc>>,
}

/// The state of a listing whose target was deleted under it: nothing is sent any more.
pub(super) const TARGET_DELETED: &str = "target_deleted";

/// Every listing, as a [`Listing`].
pub(super) const LISTINGS: &str = "
SELECT l.listing_id, l.org_id, l.account_id, l.unit_id, l.target_id, t.name AS target_name,
    CASE WHEN l.state <> 'unlinked' AND t.lifecycle = 'deleted' THEN 'target_deleted' ELSE l.state END AS state,
    l.generation::bigint AS generation, l.external_id, l.revision, encode(l.snapshot, 'hex') AS snapshot,
    encode(l.accepted_snapshot, 'hex') AS accepted_snapshot,
    CASE WHEN t.lifecycle IS DISTINCT FROM 'deleted' THEN l.pending_sync_id END AS pending_sync_id, l.last_sync_id, l.last_outcome,
    l.last_detail, l.rejected, l.linked_by, l.linked_at, l.last_accepted_at, l.updated_at
FROM channel_listings AS l LEFT JOIN channel_targets AS t ON t.target_id = l.target_id";

/// A state in words for people.
pub(super) fn words(state: &str) -> String {
    state.replace('_', " ")
}
