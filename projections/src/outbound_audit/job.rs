//! A sync job in memory: what of it may change, and the request that began it where the batch holds it.

use chrono::{DateTime, Utc};
use domain::listing::{Cause, SyncAttempt, SyncRequest};
use domain::outcome::SyncOutcome;
use domain::recorded::Recorded;
use sqlx::FromRow;
use uuid::Uuid;

use crate::column::{bigint, rejected_json};
use crate::deleted_targets::target_of;

/// A job. `request` holds what never changes, and is there for a new job only.
pub(super) struct Job<'a> {
    pub(super) request: Option<(&'a Recorded, &'a SyncRequest)>,
    pub(super) now: Standing,
}

/// How a job stands.
#[derive(FromRow)]
pub(super) struct Standing {
    pub(super) sync_id: Uuid,
    pub(super) target_id: Uuid,
    pub(super) ordinal: i64,
    /// Something was to be sent when it was asked for.
    pub(super) differs: bool,
    pub(super) outcome: String,
    pub(super) class: Option<String>,
    pub(super) attempts: i32,
    /// JSON text.
    pub(super) rejected: String,
    pub(super) detail: Option<String>,
    pub(super) superseded_by: Option<Uuid>,
    pub(super) requested_at: DateTime<Utc>,
    /// Since when the channel had been behind; `None` is since its own request.
    pub(super) behind_since: Option<DateTime<Utc>>,
    pub(super) first_attempt_at: Option<DateTime<Utc>>,
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    pub(super) updated_position: i64,
}

impl<'a> Job<'a> {
    /// A job that waits.
    pub(super) fn pending(event: &'a Recorded, request: &'a SyncRequest) -> Self {
        let now = Standing {
            sync_id: request.sync_id.0,
            target_id: target_of(event),
            ordinal: bigint(request.ordinal),
            differs: !request.needs.is_empty(),
            outcome: SyncOutcome::Pending.as_str().to_owned(),
            class: None,
            attempts: 0,
            rejected: rejected_json(&request.rejected),
            detail: None,
            superseded_by: None,
            requested_at: event.recorded_at,
            behind_since: None,
            first_attempt_at: None,
            next_attempt_at: None,
            finished_at: None,
            updated_position: event.position.0,
        };
        Self { request: Some((event, request)), now }
    }

    /// A job that ended when it was made.
    pub(super) fn ended(
        event: &'a Recorded,
        request: &'a SyncRequest,
        outcome: SyncOutcome,
        why: Option<&str>,
    ) -> Self {
        let mut job = Self::pending(event, request);
        job.now.end(outcome, event.recorded_at);
        job.now.detail = why.map(str::to_owned);
        job
    }
}

impl Standing {
    pub(super) fn is_pending(&self) -> bool {
        self.outcome == SyncOutcome::Pending.as_str()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.outcome == SyncOutcome::Cancelled.as_str()
    }

    /// The channel has it.
    pub(super) fn has_come_through(&self) -> bool {
        SyncOutcome::named(&self.outcome).is_some_and(SyncOutcome::succeeded)
    }

    /// Since when the channel had been behind.
    pub(super) fn waits_since(&self) -> DateTime<Utc> {
        self.behind_since.unwrap_or(self.requested_at)
    }

    pub(super) fn end(&mut self, outcome: SyncOutcome, at: DateTime<Utc>) {
        outcome.as_str().clone_into(&mut self.outcome);
        self.finished_at = Some(at);
        self.next_attempt_at = None;
    }

    pub(super) fn cancel(&mut self, event: &Recorded, reason: &str) {
        self.end(SyncOutcome::Cancelled, event.recorded_at);
        self.detail = Some(reason.to_owned());
        self.updated_position = event.position.0;
    }

    pub(super) fn note_attempt(&mut self, event: &Recorded, attempt: &SyncAttempt) {
        let earlier = self.first_attempt_at.is_none_or(|first| attempt.started_at < first);
        if earlier {
            self.first_attempt_at = Some(attempt.started_at);
        }
        self.updated_position = event.position.0;
    }
}

/// Why somebody wished for it, where a person did.
pub(super) fn reason(request: &SyncRequest) -> Option<&str> {
    match &request.cause {
        Cause::Manual { reason, .. } | Cause::Replayed { reason, .. } => Some(reason),
        Cause::UnitChanged | Cause::Linked => None,
    }
}
