//! A row of the audit, and the calls under it.

use chrono::{DateTime, Utc};
use domain::outcome::{OutcomeClass, SyncOutcome};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

/// How a sync may stand, as the read model has it.
pub fn outcomes() -> [&'static str; 9] {
    SyncOutcome::ALL.map(SyncOutcome::as_str)
}

/// All the ways in which a sync ends without success, together.
pub const FAILED: &str = "failed";
/// Each of them, as a list in SQL: an index of those that failed is used where they are named, and not where they are bound.
pub fn failures_in_sql() -> String {
    SyncOutcome::failures().iter().map(|failure| format!("'{failure}'")).collect::<Vec<_>>().join(", ")
}

/// Whether syncs that stand so ended without success, all of them.
pub fn is_failure(asked: &str) -> bool {
    asked == FAILED || SyncOutcome::named(asked).is_some_and(SyncOutcome::failed)
}

/// How syncs may stand that are asked for: [`FAILED`], or in one way.
pub fn asked_outcomes() -> Vec<&'static str> {
    [FAILED].into_iter().chain(outcomes()).collect()
}

/// How an attempt or a call may have ended.
pub fn classes() -> [&'static str; 8] {
    OutcomeClass::ALL.map(OutcomeClass::as_str)
}

/// How a call or a check may have ended: on our side only attempts are stopped.
pub fn call_classes() -> Vec<&'static str> {
    classes().into_iter().filter(|class| *class != OutcomeClass::Stopped.as_str()).collect()
}

/// Why a sync may have been asked for.
pub const CAUSES: [&str; 4] = ["unit_changed", "linked", "manual", "replayed"];

/// A sync job.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the read model")]
pub struct Sync {
    pub sync_id: Uuid,
    pub listing_id: Uuid,
    pub idempotency_key: String,
    pub org_id: String,
    pub account_id: String,
    pub target_id: Uuid,
    pub target_name: Option<String>,
    pub unit_id: Option<String>,
    pub ordinal: i64,
    pub cause: String,
    pub reason: Option<String>,
    pub revision: i64,
    pub snapshot: String,
    pub needs: Vec<String>,
    pub outcome: String,
    pub class: Option<String>,
    pub attempts: i32,
    pub calls: i64,
    /// Parts that the channel or the mapping left out.
    #[schema(value_type = Vec<Object>)]
    pub rejected: Value,
    pub detail: Option<String>,
    /// The one that took its place; also of one that the channel took after all, or before the same request came again.
    pub superseded_by: Option<Uuid>,
    pub created_by: String,
    /// The kind of credential.
    pub credential: String,
    /// Which token or session it was; absent where the kind has none.
    pub credential_id: Option<String>,
    pub correlation_id: Uuid,
    pub traceparent: Option<String>,
    pub requested_at: DateTime<Utc>,
    pub first_attempt_at: Option<DateTime<Utc>>,
    /// Not before, by the last attempt: something may hold it for longer. Absent also where it waits for the target to have credentials
    /// that the channel takes.
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub position: i64,
    pub updated_position: i64,
}

impl Sync {
    /// The sync that was sent in its place.
    pub fn gave_way_to(&self) -> Option<Uuid> {
        self.superseded_by.filter(|_| self.outcome == SyncOutcome::Superseded.as_str())
    }
}

/// The columns of a [`Sync`], of `outbound_audit AS a` and `channel_targets AS t`.
pub const COLUMNS: &str = "
a.sync_id, a.listing_id, encode(a.idempotency_key, 'hex') AS idempotency_key, a.org_id, a.account_id, a.target_id,
t.name AS target_name, a.unit_id, a.ordinal, a.cause, a.reason, a.revision, encode(a.snapshot, 'hex') AS snapshot,
a.needs, a.outcome, a.class, a.attempts, a.rejected, a.detail, a.superseded_by, a.created_by, a.credential,
a.correlation_id, a.traceparent, a.requested_at, a.first_attempt_at,
CASE WHEN a.class IS DISTINCT FROM 'unauthorised' THEN a.next_attempt_at END AS next_attempt_at, a.finished_at, a.position,
a.updated_position,
(SELECT e.metadata ->> 'credential_id' FROM events AS e WHERE e.position = a.position) AS credential_id,
(SELECT count(*) FROM outbound_attempts AS c WHERE c.sync_id = a.sync_id) AS calls";

/// Whether an attempt of a sync may be under way although a later one took its place: a dispatcher has the listing for it, and
/// none of its calls was told since.
pub async fn goes_on(reader: &mut PgConnection, sync: Uuid) -> Result<bool, sqlx::Error> {
    let statement = "
        SELECT EXISTS (
            SELECT FROM outbound_audit AS a
            JOIN dispatch_leases AS d ON d.listing_id = a.listing_id AND d.ordinal = a.ordinal
            WHERE a.sync_id = $1 AND a.outcome = 'superseded' AND NOT d.done AND d.lease_until > now()
                AND NOT EXISTS (
                    SELECT FROM outbound_attempts AS c JOIN outbound_audit AS l ON l.sync_id = a.superseded_by
                    WHERE c.sync_id = a.sync_id AND c.position > l.position
                )
        )";
    sqlx::query_scalar(statement).bind(sync).fetch_one(reader).await
}

/// One HTTP call.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the read model")]
pub struct Call {
    pub request_id: Uuid,
    pub attempt: i32,
    pub call_index: i32,
    pub purpose: String,
    pub method: String,
    pub path: String,
    pub status: Option<i32>,
    pub class: String,
    pub started_at: DateTime<Utc>,
    pub duration_ms: i64,
    pub detail: Option<String>,
    /// The beginning of the answer's body, of a call that failed: without what looks like a credential or belongs to a guest.
    pub answer: Option<String>,
    pub late: bool,
    pub position: i64,
}

/// The calls of a sync, as [`Call`]s. What was answered to those that failed stands in the journal alone.
pub const CALLS: &str = "
SELECT c.request_id, c.attempt, c.call_index, c.purpose, c.method, c.path, c.status, c.class, c.started_at, c.duration_ms,
    c.detail, c.late, c.position,
    CASE WHEN c.class NOT IN ('accepted', 'accepted_with_rejections') THEN
        (SELECT e.payload #>> ARRAY[e.event_type, 'attempt', 'calls', c.call_index::text, 'answer']
         FROM events AS e WHERE e.position = c.position) END AS answer
FROM outbound_attempts AS c WHERE c.sync_id = $1 ORDER BY c.position, c.call_index";
