//! The state of a listing, and how events change it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::call::{CallPurpose, CallRecord};
use crate::channel::{RejectedPart, Section, SectionHashes};
use crate::hash::{PayloadHash, SnapshotHash};
use crate::ids::{AccountId, ExternalId, ListingId, OrgId, SyncId, TargetId, UnitId};
use crate::listing::overlap::Written;
use crate::listing::{ListingEvent, Origin, SyncAttempt, SyncRequest};
use crate::outcome::OutcomeClass;

/// What is linked to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The listing.
    pub listing_id: ListingId,
    /// The tenant.
    pub org_id: OrgId,
    /// The account inside it.
    pub account_id: AccountId,
    /// The unit.
    pub unit_id: UnitId,
    /// The target.
    pub target_id: TargetId,
    /// Counts the links of this pair from 1.
    pub generation: u32,
    /// The account that the unit was of when it was linked, where that is another than the target's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_account_id: Option<AccountId>,
}

impl Link {
    /// Invariant: of a unit that moves to another account, nothing of what it is there is sent by the target of the one before, nor
    /// shown to those who see that. A listing takes what is of its target's account, and of the one that it was linked from.
    pub fn takes_from(&self, account: &AccountId) -> bool {
        *account == self.account_id || self.from_account_id.as_ref() == Some(account)
    }
}

/// Where a listing is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It follows its unit.
    Active,
    /// It records changes and holds its syncs.
    Paused,
    /// It was taken off.
    Unlinked,
}

impl LinkState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Unlinked];

    /// The name used in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Unlinked => "unlinked",
        }
    }
}

/// The one sync that is to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The job.
    pub sync_id: SyncId,
    /// Its ordinal.
    pub ordinal: u64,
    /// What is to be sent.
    pub snapshot: SnapshotHash,
    /// The unit's revision in it.
    pub revision: u64,
    /// The hash of each section.
    pub sections: SectionHashes,
    /// Every section is sent, whatever the channel took before.
    pub forced: bool,
    /// Attempts that were burned.
    pub attempts: u32,
    /// What set it off.
    pub origin: Origin,
    /// Refused parts of sections that earlier attempts got through: they belong to the job's end.
    #[serde(default)]
    pub rejected: Vec<RejectedPart>,
    /// When the next attempt is due, where one was deferred. States that older builds kept do not tell.
    #[serde(default)]
    pub due_at: Option<DateTime<Utc>>,
}

/// The intent to create, noted before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// The sync that creates.
    pub sync_id: SyncId,
    /// When the call started, UTC.
    pub started_at: DateTime<Utc>,
}

/// A creation whose end nobody told may still reach the channel for this long: the grace to start its call (5 s), the
/// longest call (20 s), the time in which its bytes may arrive late (5 s), and as much as two hosts' clocks may differ (5 s).
pub const CREATION_GRACE: TimeDelta = TimeDelta::seconds(35);

/// So long after an intent an attempt sees what came of it. That is how events are read: it stays as it is where [`CREATION_GRACE`] becomes
/// another, or a replay would make another state of them than the one that is kept.
const INTENT_OVER: TimeDelta = TimeDelta::seconds(35);

impl Creation {
    /// From when on its call can no longer arrive. Until then a look-up that finds nothing tells nothing.
    pub fn settles_at(&self) -> DateTime<Utc> {
        self.started_at + CREATION_GRACE
    }
}

/// What the channel took last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Accepted {
    /// The hash of each section.
    pub sections: SectionHashes,
    /// That of the newest sync that succeeded before another took its place; sections of it may have been refused.
    pub snapshot: Option<SnapshotHash>,
}

/// The aggregate. `link` is `None` until the pair is linked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelListing {
    pub(super) link: Option<Link>,
    pub(super) state: Option<LinkState>,
    pub(super) external_id: Option<ExternalId>,
    pub(super) creation: Option<Creation>,
    /// See `unproved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unproved: Option<ExternalId>,
    pub(super) last_revision: u64,
    pub(super) last_ordinal: u64,
    pub(super) finished_ordinal: u64,
    /// The job of that ordinal. States that older builds kept do not tell.
    #[serde(default)]
    pub(super) finished_sync: Option<SyncId>,
    /// That job failed.
    #[serde(default)]
    pub(super) last_failed: bool,
    pub(super) pending: Option<Pending>,
    /// When the attempt that was recorded last had started: told again, it is the same attempt.
    #[serde(default)]
    pub(super) last_attempt_at: Option<DateTime<Utc>>,
    /// The last attempts that were recorded, the newest at the end: the ordinal of its job, and when it had started. States that
    /// older builds kept do not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) told_attempts: Vec<(u64, DateTime<Utc>)>,
    /// When the youngest of the attempts that were recorded had started. An older one that is told after it had lost its
    /// turn: what it saw is not what is.
    #[serde(default)]
    pub(super) youngest_attempt_at: Option<DateTime<Utc>>,
    pub(super) accepted: Accepted,
    /// The end of an attempt is unknown, and none came through since.
    #[serde(default)]
    pub(super) unverified: bool,
    /// What attempts may have written that ended after the youngest had begun. States that older builds kept do not tell.
    #[serde(default)]
    pub(super) written: Vec<Written>,
    /// Sections of which nobody knows whose call the channel got last, each with the newest job when that came up: see `overlap`.
    #[serde(default)]
    pub(super) contested: BTreeMap<Section, u64>,
}

impl ChannelListing {
    /// What is linked, of an unlinked listing too.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Where it is in its life; `None` where nothing was ever linked.
    pub fn state(&self) -> Option<LinkState> {
        self.state
    }

    /// Its id at the channel.
    pub fn external_id(&self) -> Option<&ExternalId> {
        self.external_id.as_ref()
    }

    /// An intent to create whose result is not known yet.
    pub fn creation(&self) -> Option<Creation> {
        self.creation
    }

    /// How something ended is unknown, in this job, one before it or an earlier link: the channel is read before
    /// anything is sent, and thoroughly.
    pub fn must_verify(&self) -> bool {
        self.unverified || self.creation.is_some() || self.unproved.is_some()
    }

    /// The sync that waits.
    pub fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// What the channel took last.
    pub fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// The newest revision of the unit that was taken; 0 before the first.
    pub fn last_revision(&self) -> u64 {
        self.last_revision
    }

    /// The sections of `wanted` that differ from what the channel took last, most urgent first.
    pub fn differing(&self, wanted: &SectionHashes) -> Vec<Section> {
        wanted
            .iter()
            .filter(|(section, hash)| self.accepted.sections.get(section) != Some(hash))
            .map(|(section, _)| *section)
            .collect()
    }

    /// The sections that the pending sync has to send now, as they were when it was asked for.
    pub fn needs(&self) -> Vec<Section> {
        self.pending.as_ref().map_or_else(Vec::new, |pending| self.to_send(&pending.sections))
    }

    /// The sections of a payload that the pending sync has to send, most urgent first: all of them where the listing is
    /// to be created or the sync is forced.
    pub fn to_send(&self, payload: &SectionHashes) -> Vec<Section> {
        if self.external_id.is_none() || self.pending.as_ref().is_some_and(|pending| pending.forced) {
            payload.keys().copied().collect()
        } else {
            self.differing(payload)
        }
    }

    /// Applies an event.
    pub fn evolve(&mut self, event: ListingEvent) {
        match event {
            ListingEvent::ListingLinked {
                listing_id,
                org_id,
                account_id,
                unit_id,
                target_id,
                external_id,
                generation,
                from_account_id,
            } => {
                self.link =
                    Some(Link { listing_id, org_id, account_id, unit_id, target_id, generation, from_account_id });
                self.state = Some(LinkState::Active);
                (self.external_id, self.unproved) = (external_id, None);
                // A new link starts over: the channel may have been edited meanwhile, so everything is sent again.
                self.accepted = Accepted::default();
                self.contested.clear();
                self.last_revision = 0;
            }
            ListingEvent::SyncRequested { request, .. } => self.take_request(request),
            ListingEvent::SyncSkipped { request } => {
                self.last_revision = self.last_revision.max(request.revision);
                self.last_ordinal = request.ordinal;
                self.finished_ordinal = request.ordinal;
                self.finished_sync = Some(request.sync_id);
                self.last_failed = false;
                self.accepted.snapshot = Some(request.snapshot);
            }
            ListingEvent::CreationStarted { sync_id, at } => {
                self.creation = Some(Creation { sync_id, started_at: at });
            }
            ListingEvent::SyncAccepted { attempt } | ListingEvent::SyncFoundUnchanged { attempt } => {
                self.take_progress(&attempt, None);
                self.finish(&attempt, true);
            }
            ListingEvent::SyncDeferred { attempt, class, due_at } => {
                self.take_progress(&attempt, Some(class));
                let accepted = &self.accepted.sections;
                if let Some(pending) = self.pending.as_mut() {
                    pending.attempts = attempt.attempt;
                    pending.due_at = Some(due_at);
                    let through = |part: &RejectedPart| {
                        accepted
                            .get(&part.section)
                            .is_some_and(|hash| pending.sections.get(&part.section) == Some(hash))
                    };
                    pending.rejected = attempt.rejected.into_iter().filter(through).collect();
                }
            }
            ListingEvent::SyncFailed { attempt, class } | ListingEvent::SupersededSyncFailed { attempt, class } => {
                self.take_progress(&attempt, Some(class));
                self.finish(&attempt, false);
            }
            ListingEvent::LateAttemptRecorded { attempt, .. } => {
                let (_, contested) = self.note(&attempt, true);
                self.doubt_what_was_written(&attempt, false);
                self.contest(contested);
                if self.external_id.is_none() {
                    self.learn_id(&attempt.progress);
                }
            }
            ListingEvent::ListingPaused { .. } => self.state = Some(LinkState::Paused),
            ListingEvent::ListingResumed {} => self.state = Some(LinkState::Active),
            ListingEvent::ListingUnlinked { .. } => {
                self.state = Some(LinkState::Unlinked);
                self.finished_ordinal = self.last_ordinal;
                self.finished_sync = self.pending.take().map(|pending| pending.sync_id).or(self.finished_sync);
            }
        }
    }

    fn take_request(&mut self, request: SyncRequest) {
        self.last_revision = self.last_revision.max(request.revision);
        self.last_ordinal = request.ordinal;
        // A forced sync that has not been sent stays forced.
        let forced = self.pending.as_ref().is_some_and(|pending| pending.forced);
        self.pending = Some(Pending {
            sync_id: request.sync_id,
            ordinal: request.ordinal,
            snapshot: request.snapshot,
            revision: request.revision,
            sections: request.sections,
            forced: forced || request.cause.forces(),
            attempts: 0,
            origin: request.origin,
            rejected: Vec::new(),
            due_at: None,
        });
    }

    fn take_progress(&mut self, attempt: &SyncAttempt, failure: Option<OutcomeClass>) {
        let (overtaken, contested) = self.note(attempt, false);
        self.learn_id(&attempt.progress);
        let unknown = failure == Some(OutcomeClass::Unknown);
        // The answer to the creating call settles the intent. An attempt that did not make that call, a look-up that was
        // throttled for instance, tells nothing of it: the call may still arrive. Nor does a call from before the intent,
        // which is somebody else's then.
        let of_intent = |intent: Creation| {
            let answers =
                |call: &CallRecord| call.purpose == CallPurpose::Create && call.started_at >= intent.started_at;
            attempt.calls.iter().any(answers)
        };
        let answered = !unknown && self.creation.is_some_and(of_intent);
        // An id that somebody has linked says nothing of it either: unlinked and linked anew, a second listing would be made.
        let over =
            |intent: Creation| self.external_id.is_some() && attempt.started_at >= intent.started_at + INTENT_OVER;
        if answered || attempt.progress.external_id.is_some() || self.creation.is_some_and(over) {
            self.creation = None;
        }
        if attempt.takes_over || attempt.found_gone(failure) {
            // The attempt of which nobody told may have written anything; what is gone has nothing.
            self.accepted.sections.clear();
        }
        let came_through = failure.is_none() && !overtaken;
        self.doubt_what_was_written(attempt, came_through);
        if !overtaken {
            self.accepted.sections.extend(attempt.progress.sections.iter().map(|(section, hash)| (*section, *hash)));
            self.contested.retain(|section, _| !attempt.progress.sections.contains_key(section));
        }
        self.contest(contested);
        // It stays to be verified until an attempt came through, also when its job has no attempt left.
        self.unverified = unknown || self.unverified && !came_through;
    }

    /// Invariant: what a call may have written counts as unknown until it is accepted. Otherwise a change back to what the
    /// channel took before would look as if nothing differed, and would never be sent. Of an attempt that came through
    /// only the calls count that were refused: a part of their section may have gone in before.
    fn doubt_what_was_written(&mut self, attempt: &SyncAttempt, came_through: bool) {
        for call in &attempt.calls {
            let written = call.purpose.writes();
            // A refusal was not applied; a rate limit neither.
            let refused = matches!(call.class, OutcomeClass::Throttled | OutcomeClass::Unauthorised);
            let taken = came_through && call.class.succeeded();
            if !refused && !taken {
                let wanted = self.pending.as_ref().filter(|pending| pending.ordinal == attempt.ordinal);
                // To write once more what is there already changes nothing.
                let same = |section: &Section, hash: &PayloadHash| {
                    wanted.is_some_and(|pending| pending.sections.get(section) == Some(hash))
                };
                self.accepted.sections.retain(|section, hash| !written.contains(section) || same(section, hash));
            }
        }
    }

    fn finish(&mut self, attempt: &SyncAttempt, succeeded: bool) {
        // A job from after that had to send them. Once is enough, also where the channel refuses one.
        self.contested.retain(|_, newest| attempt.ordinal <= *newest);
        if attempt.ordinal > self.finished_ordinal {
            (self.finished_ordinal, self.finished_sync) = (attempt.ordinal, Some(attempt.sync_id));
            self.last_failed = !succeeded;
        }
        let Some(pending) = self.pending.take() else { return };
        if pending.ordinal > attempt.ordinal {
            self.pending = Some(pending);
        } else if succeeded {
            self.accepted.snapshot = Some(pending.snapshot);
        }
    }
}
