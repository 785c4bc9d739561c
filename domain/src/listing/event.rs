//! What has happened to a listing. These shapes are a promise: see `upcast`.

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::call::{CallRecord, LISTING_GONE};
use crate::channel::{RejectedPart, Section, SectionHashes};
use crate::hash::{IdempotencyKey, SnapshotHash};
use crate::ids::{AccountId, ExternalId, ListingId, OrgId, SyncId, TargetId, UnitId};
use crate::listing::{Cause, Origin, Progress, Silent};
use crate::outcome::OutcomeClass;

/// A sync job as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// The job.
    pub sync_id: SyncId,
    /// Counts the jobs of a listing from 1; a later one wins.
    pub ordinal: u64,
    /// Unique within the listing.
    pub idempotency_key: IdempotencyKey,
    /// Why it is wanted.
    pub cause: Cause,
    /// What is to be sent.
    pub snapshot: SnapshotHash,
    /// The unit's revision in it.
    pub revision: u64,
    /// The hash of each section.
    pub sections: SectionHashes,
    /// The sections that are to be sent, most urgent first: those that differ from what the channel took last, or all of them
    /// where somebody asked for it, or for a sync whose place it takes. Older builds named those that differ in the last case.
    pub needs: Vec<Section>,
    /// Parts that the mapping had to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<RejectedPart>,
    /// What set it off.
    pub origin: Origin,
}

/// One attempt at a sync job, with every call that it made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncAttempt {
    /// The job.
    pub sync_id: SyncId,
    /// Its ordinal within the listing.
    pub ordinal: u64,
    /// Counts the attempts that burned one of the five, this one included if it did.
    pub attempt: u32,
    /// An attempt before it ended without a word, so that nobody knew what the channel had when it began.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_over: bool,
    /// What is known of that one. Older builds did not write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<Silent>,
    /// When it started, UTC.
    pub started_at: DateTime<Utc>,
    /// When it ended, UTC.
    pub finished_at: DateTime<Utc>,
    /// What it got done.
    #[serde(default)]
    pub progress: Progress,
    /// Parts that were refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<RejectedPart>,
    /// Every call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallRecord>,
    /// Why, in words, where it did not simply succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// It was ended on our side, by no answer and no limit of the channel, as `detail` says. Its event names the class `throttled` all the
    /// same, which older builds can read; they did not write this down.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}

impl SyncAttempt {
    /// How it ended, where its event names this class.
    pub fn class(&self, named: OutcomeClass) -> OutcomeClass {
        if self.stopped && named == OutcomeClass::Throttled { OutcomeClass::Stopped } else { named }
    }

    /// The class of one that the channel took: with or without refused parts.
    pub fn accepted_class(&self) -> OutcomeClass {
        if self.rejected.is_empty() { OutcomeClass::Accepted } else { OutcomeClass::AcceptedWithRejections }
    }

    /// Whether one that ended so found the listing gone at the channel.
    pub fn found_gone(&self, failure: Option<OutcomeClass>) -> bool {
        let is_told = self.detail.as_deref().is_some_and(|detail| detail.contains(LISTING_GONE));
        failure == Some(OutcomeClass::Rejected) && is_told
    }
}

/// An event of a [`ChannelListing`](crate::listing::ChannelListing).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the commands of the same name")]
pub enum ListingEvent {
    /// The unit was put on the target, for the first time or again (`generation` counts).
    ListingLinked {
        listing_id: ListingId,
        org_id: OrgId,
        account_id: AccountId,
        unit_id: UnitId,
        target_id: TargetId,
        external_id: Option<ExternalId>,
        generation: u32,
        /// The account that the unit was of, where that is another than the target's. Older builds did not tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_account_id: Option<AccountId>,
    },
    /// A sync job was made; it takes the place of `supersedes`, if that had not ended.
    SyncRequested {
        request: SyncRequest,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        supersedes: Option<SyncId>,
    },
    /// A sync job was made and ended at once: the channel has all of it already.
    SyncSkipped {
        request: SyncRequest,
    },
    /// The call that creates the listing at the channel is about to be made.
    CreationStarted {
        sync_id: SyncId,
        at: DateTime<Utc>,
    },
    /// The channel took it; `rejected` names parts that it did not.
    SyncAccepted {
        attempt: SyncAttempt,
    },
    /// Nothing differed when the attempt began, so nothing was sent.
    SyncFoundUnchanged {
        attempt: SyncAttempt,
    },
    /// The attempt failed in a way that can heal; the next one is due at `due_at`.
    SyncDeferred {
        attempt: SyncAttempt,
        class: OutcomeClass,
        due_at: DateTime<Utc>,
    },
    /// The sync ended without success.
    SyncFailed {
        attempt: SyncAttempt,
        class: OutcomeClass,
    },
    /// An attempt failed after a newer job had taken its place; the newer one goes on.
    SupersededSyncFailed {
        attempt: SyncAttempt,
        class: OutcomeClass,
    },
    /// Calls of an attempt whose job had ended before it was told: by another attempt, or as the listing was unlinked.
    LateAttemptRecorded {
        attempt: SyncAttempt,
        class: Option<OutcomeClass>,
    },
    ListingPaused {
        reason: String,
    },
    ListingResumed {},
    /// The listing was taken off; a pending job ends as cancelled.
    ListingUnlinked {
        reason: String,
        cancels: Option<SyncId>,
    },
}

impl ListingEvent {
    /// The event's type as it is stored.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::ListingLinked { .. } => "ListingLinked",
            Self::SyncRequested { .. } => "SyncRequested",
            Self::SyncSkipped { .. } => "SyncSkipped",
            Self::CreationStarted { .. } => "CreationStarted",
            Self::SyncAccepted { .. } => "SyncAccepted",
            Self::SyncFoundUnchanged { .. } => "SyncFoundUnchanged",
            Self::SyncDeferred { .. } => "SyncDeferred",
            Self::SyncFailed { .. } => "SyncFailed",
            Self::SupersededSyncFailed { .. } => "SupersededSyncFailed",
            Self::LateAttemptRecorded { .. } => "LateAttemptRecorded",
            Self::ListingPaused { .. } => "ListingPaused",
            Self::ListingResumed {} => "ListingResumed",
            Self::ListingUnlinked { .. } => "ListingUnlinked",
        }
    }

    /// The sync that it is of, where it is of one.
    pub fn sync_id(&self) -> Option<SyncId> {
        match self {
            Self::SyncRequested { request, .. } | Self::SyncSkipped { request } => Some(request.sync_id),
            Self::CreationStarted { sync_id, .. } => Some(*sync_id),
            Self::SyncAccepted { attempt }
            | Self::SyncFoundUnchanged { attempt }
            | Self::SyncDeferred { attempt, .. }
            | Self::SyncFailed { attempt, .. }
            | Self::SupersededSyncFailed { attempt, .. }
            | Self::LateAttemptRecorded { attempt, .. } => Some(attempt.sync_id),
            Self::ListingLinked { .. }
            | Self::ListingPaused { .. }
            | Self::ListingResumed {}
            | Self::ListingUnlinked { .. } => None,
        }
    }
}

impl DomainEvent for ListingEvent {
    fn event_type(&self) -> String {
        self.type_name().to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}
