//! The audit events for analytics, derived from the journal: one per HTTP attempt and one per finished sync.
//! Contract: `nats/schemas/audit.v1.json`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::call::CallRecord;
use crate::channel::RejectedPart;
use crate::ids::{AccountId, ListingId, OrgId, SyncId, TargetId, UnitId};
use crate::listing::{ListingEvent, SyncAttempt};
use crate::outcome::SyncOutcome;
use crate::recorded::{ChannelEvent, Recorded};

/// An audit event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Unique: the journal event's id and the index within it.
    pub id: String,
    /// When it was recorded, UTC.
    pub at: DateTime<Utc>,
    /// The tenant.
    pub org_id: OrgId,
    /// The account inside it.
    pub account_id: AccountId,
    /// The target.
    pub target_id: TargetId,
    /// The listing.
    pub listing_id: ListingId,
    /// The unit.
    pub unit_id: Option<UnitId>,
    /// The sync job.
    pub sync_id: SyncId,
    /// Who set it off.
    pub created_by: String,
    /// The same for everything that one outside request set off.
    pub correlation_id: Uuid,
    /// What happened.
    #[serde(flatten)]
    pub what: AuditKind,
}

/// What an audit event tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AuditKind {
    /// One HTTP call.
    Attempt {
        /// The call and its answer.
        call: CallRecord,
    },
    /// A sync job ended.
    Finished {
        /// How.
        outcome: SyncOutcome,
        /// Attempts that were burned.
        attempts: u32,
        /// Parts that were refused.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rejected: Vec<RejectedPart>,
        /// Why, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
}

impl AuditEvent {
    /// The last token of its subject.
    pub fn outcome(&self) -> &'static str {
        match &self.what {
            AuditKind::Attempt { .. } => "attempt",
            AuditKind::Finished { outcome, .. } => outcome.as_str(),
        }
    }
}

fn finished(outcome: SyncOutcome, attempt: &SyncAttempt) -> AuditKind {
    AuditKind::Finished {
        outcome,
        attempts: attempt.attempt,
        rejected: attempt.rejected.clone(),
        detail: attempt.detail.clone(),
    }
}

fn ended_unsent(outcome: SyncOutcome, detail: Option<String>) -> AuditKind {
    AuditKind::Finished { outcome, attempts: 0, rejected: Vec::new(), detail }
}

/// The audit events that a journal event stands for, in order; most stand for none.
pub fn audit_events(recorded: &Recorded) -> Vec<AuditEvent> {
    let ChannelEvent::Listing(event) = &recorded.event else { return Vec::new() };
    let mut told: Vec<(SyncId, AuditKind)> = Vec::new();
    let mut calls = |attempt: &SyncAttempt| {
        told.extend(attempt.calls.iter().map(|call| (attempt.sync_id, AuditKind::Attempt { call: call.clone() })));
    };
    let end = match event.as_ref() {
        ListingEvent::SyncRequested { request, supersedes } => {
            supersedes.map(|old| (old, ended_unsent(SyncOutcome::Superseded, Some(format!("by {}", request.sync_id)))))
        }
        ListingEvent::SyncSkipped { request } => {
            Some((request.sync_id, ended_unsent(SyncOutcome::SkippedUnchanged, None)))
        }
        ListingEvent::SyncAccepted { attempt } => {
            calls(attempt);
            Some((attempt.sync_id, finished(attempt.accepted_class().final_outcome(), attempt)))
        }
        ListingEvent::SyncFoundUnchanged { attempt } => {
            calls(attempt);
            Some((attempt.sync_id, finished(SyncOutcome::SkippedUnchanged, attempt)))
        }
        ListingEvent::SyncFailed { attempt, class } => {
            calls(attempt);
            Some((attempt.sync_id, finished(class.final_outcome(), attempt)))
        }
        ListingEvent::SyncDeferred { attempt, .. }
        | ListingEvent::SupersededSyncFailed { attempt, .. }
        | ListingEvent::LateAttemptRecorded { attempt, .. } => {
            calls(attempt);
            None
        }
        ListingEvent::ListingUnlinked { reason, cancels } => {
            cancels.map(|sync_id| (sync_id, ended_unsent(SyncOutcome::Cancelled, Some(reason.clone()))))
        }
        ListingEvent::ListingLinked { .. }
        | ListingEvent::CreationStarted { .. }
        | ListingEvent::ListingPaused { .. }
        | ListingEvent::ListingResumed {} => None,
    };
    told.extend(end);
    let envelope = |(index, (sync_id, what)): (usize, (SyncId, AuditKind))| AuditEvent {
        id: format!("{}:{index}", recorded.event_id),
        at: recorded.recorded_at,
        org_id: recorded.metadata.org_id.clone(),
        account_id: recorded.metadata.account_id.clone(),
        target_id: recorded.metadata.target_id,
        listing_id: ListingId(recorded.aggregate_id),
        unit_id: recorded.metadata.unit_id.clone(),
        sync_id,
        created_by: recorded.metadata.on_behalf_of.clone().unwrap_or_else(|| recorded.metadata.actor.name.clone()),
        correlation_id: recorded.metadata.correlation_id,
        what,
    };
    told.into_iter().enumerate().map(envelope).collect()
}
