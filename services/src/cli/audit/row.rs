//! A row of the audit as the command line shows it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use crate::cli::counted::counted;
use crate::cli::span::moment;

/// A sync job.
#[derive(Debug, FromRow, Serialize)]
pub(super) struct Sync {
    pub(super) sync_id: Uuid,
    pub(super) listing_id: Uuid,
    pub(super) idempotency_key: String,
    pub(super) org_id: String,
    pub(super) account_id: String,
    pub(super) target_id: Uuid,
    pub(super) target_name: Option<String>,
    pub(super) unit_id: Option<String>,
    pub(super) ordinal: i64,
    pub(super) cause: String,
    pub(super) reason: Option<String>,
    pub(super) revision: i64,
    pub(super) snapshot: String,
    pub(super) needs: Vec<String>,
    pub(super) outcome: String,
    pub(super) class: Option<String>,
    pub(super) attempts: i32,
    pub(super) calls: i64,
    pub(super) rejected: Value,
    pub(super) detail: Option<String>,
    pub(super) superseded_by: Option<Uuid>,
    pub(super) created_by: String,
    pub(super) credential: String,
    pub(super) correlation_id: Uuid,
    pub(super) traceparent: Option<String>,
    pub(super) requested_at: DateTime<Utc>,
    pub(super) first_attempt_at: Option<DateTime<Utc>>,
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    pub(super) position: i64,
    pub(super) updated_position: i64,
}

/// The columns of a [`Sync`], of `outbound_audit AS a` and `channel_targets AS t`.
pub(super) const COLUMNS: &str = "
a.sync_id, a.listing_id, encode(a.idempotency_key, 'hex') AS idempotency_key, a.org_id, a.account_id, a.target_id,
t.name AS target_name, a.unit_id, a.ordinal, a.cause, a.reason, a.revision, encode(a.snapshot, 'hex') AS snapshot,
a.needs, a.outcome, a.class, a.attempts, a.rejected, a.detail, a.superseded_by, a.created_by, a.credential,
a.correlation_id, a.traceparent, a.requested_at, a.first_attempt_at, a.next_attempt_at, a.finished_at, a.position,
a.updated_position,
(SELECT count(*) FROM outbound_attempts AS c WHERE c.sync_id = a.sync_id) AS calls";

impl Sync {
    /// One line, and a second one where there is something to explain.
    pub(super) fn line(&self) -> String {
        let at = moment(self.finished_at.or(self.first_attempt_at).unwrap_or(self.requested_at));
        let outcome = match (&self.outcome[..], &self.class) {
            ("pending", Some(class)) => format!("pending ({class})"),
            (outcome, _) => outcome.to_owned(),
        };
        let unit = self.unit_id.as_deref().unwrap_or("-");
        let (sync, burned, calls) = (self.sync_id, self.attempts, self.calls);
        let mut line = format!("{at}  {sync}  {outcome:<24}  {unit}  burned {burned}  calls {calls}");
        let refused = self.rejected.as_array().map_or(0, Vec::len);
        if refused > 0 {
            line.push_str(&format!("\n    {} refused", counted(refused, "part")));
        }
        if let Some(detail) = &self.detail {
            line.push_str(&format!("\n    {detail}"));
        }
        line
    }
}
