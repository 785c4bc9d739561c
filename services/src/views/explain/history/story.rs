//! A sync from its request to its end, with every attempt between.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use domain::channel::{Section, SectionHashes};
use domain::ids::{ExternalId, SyncId};
use domain::listing::{ChannelListing, SyncAttempt, SyncRequest};
use domain::metadata::Metadata;
use domain::outcome::{OutcomeClass, SyncOutcome};
use domain::recorded::Recorded;

use super::KnownSections;
use crate::views::explain::cancelled::{Cancelled, CancelledBecause};

/// An attempt at a sync.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// As it was recorded.
    pub attempt: SyncAttempt,
    /// How it ended; `None` where nothing differed when it began.
    pub class: Option<OutcomeClass>,
    /// When the next one was due.
    pub due_at: Option<DateTime<Utc>>,
    /// Its job had ended before it was told: by another attempt, or as its listing was unlinked.
    pub late: bool,
    /// That is as its listing was unlinked.
    pub after_unlinking: bool,
    /// Where it stands in the journal.
    pub position: i64,
    /// The sections that it had to send.
    pub needs: Vec<Section>,
    /// The listing had an id at the channel.
    pub existed: bool,
    /// The channel was to be read before anything was sent.
    pub verified: bool,
    /// The one before it that ended without a word, where it took the listing over.
    pub silent: Option<SilentAttempt>,
}

/// An attempt that ended without a word: its dispatcher let the lease of the listing run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilentAttempt {
    /// The ordinal of its sync, where that is recorded.
    pub ordinal: Option<u64>,
    /// Its sync, where that is recorded and still among those that are kept.
    pub sync_id: Option<SyncId>,
    /// When it began, UTC, where that is recorded.
    pub since: Option<DateTime<Utc>>,
    /// Until when nobody could take the listing over, UTC, where that is recorded.
    pub until: Option<DateTime<Utc>>,
}

impl Attempt {
    /// The next one comes when the target has credentials that the channel takes, and not at a time.
    pub fn waits_for_credentials(&self) -> bool {
        self.class == Some(OutcomeClass::Unauthorised) && self.due_at.is_some()
    }
}

/// How a listing stood before it was unlinked: an attempt that was under way then goes by that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeforeUnlinking {
    /// What the channel had taken last.
    pub accepted: SectionHashes,
    /// Its id at the channel.
    pub external_id: Option<ExternalId>,
}

impl BeforeUnlinking {
    pub(super) fn of(listing: &ChannelListing) -> Self {
        Self { accepted: listing.accepted().sections.clone(), external_id: listing.external_id().cloned() }
    }
}

/// How a sync ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// How.
    pub outcome: SyncOutcome,
    /// When, UTC.
    pub at: DateTime<Utc>,
    /// Where that stands in the journal.
    pub position: i64,
    /// Why, in words, where somebody said so.
    pub reason: Option<String>,
    /// What cancelled it, and who did that.
    pub cancelled: Option<Cancelled>,
}

impl End {
    pub(super) fn of(outcome: SyncOutcome, recorded: &Recorded, reason: Option<String>) -> Self {
        Self { outcome, at: recorded.recorded_at, position: recorded.position.0, reason, cancelled: None }
    }

    pub(super) fn cancelled(because: CancelledBecause, recorded: &Recorded, reason: &str) -> Self {
        let by = recorded.metadata.actor.name.clone();
        let end = Self::of(SyncOutcome::Cancelled, recorded, Some(reason.to_owned()));
        Self { cancelled: Some(Cancelled { because, by }), ..end }
    }
}

/// An attempt of another sync of the listing: two of one listing are never under way together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherAttempt {
    /// The sync.
    pub sync_id: SyncId,
    /// When it began, UTC.
    pub started_at: DateTime<Utc>,
    /// When it ended, UTC.
    pub finished_at: DateTime<Utc>,
}

/// What a sync waited behind before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// Up to when, UTC: from when it was asked for on an attempt of another sync was under way.
    pub until: DateTime<Utc>,
    /// Those syncs.
    pub syncs: Vec<SyncId>,
    /// That one of them whose attempt ended without a word: its dispatcher had the listing up to then, alive or not.
    pub silent: Option<SyncId>,
}

/// A sync from its request to its end.
#[derive(Debug, Clone)]
pub struct SyncStory {
    /// As it was asked for.
    pub request: SyncRequest,
    /// Who asked.
    pub metadata: Metadata,
    /// When, UTC.
    pub requested_at: DateTime<Utc>,
    /// Where the request stands in the journal.
    pub position: i64,
    /// It found the channel up to date when it was asked for.
    pub skipped: bool,
    /// The one whose place it took.
    pub supersedes: Option<SyncId>,
    /// The one that took its place.
    pub superseded_by: Option<SyncId>,
    /// When that was asked for, UTC.
    pub superseded_at: Option<DateTime<Utc>>,
    /// Every section is to be sent: somebody asked for it, or for one that had not ended and whose place it took.
    pub forced: bool,
    /// When its creating call was about to be made.
    pub creation_at: Option<DateTime<Utc>>,
    /// Every attempt.
    pub attempts: Vec<Attempt>,
    /// Those of other syncs of the listing that were under way before its first one.
    pub others: Vec<OtherAttempt>,
    /// Of one whose place was taken before an attempt was told: whether one had begun and ended without a word. `None` until the next
    /// attempt at the listing is told, which says so.
    pub fell_silent: Option<bool>,
    /// How it ended.
    pub end: Option<End>,
    /// What the channel was known to have before its first attempt.
    pub known: Option<KnownSections>,
    /// Its listing was linked afresh, and was neither found nor created at the channel since: what that has is not followed.
    pub is_afresh: bool,
    /// How its listing stood before that was unlinked, where that ended it.
    pub unlinked: Option<BeforeUnlinking>,
}

impl SyncStory {
    /// Whether an attempt of it may be under way although a later one took its place: `in_hand` is the ordinal of the sync for
    /// which a dispatcher has the listing, and of no attempt it was told since how it ended.
    pub(in crate::views::explain) fn goes_on(&self, in_hand: Option<u64>) -> bool {
        let superseded = self.end.as_ref().filter(|end| end.outcome == SyncOutcome::Superseded);
        let is_told = |end: &End| self.attempts.iter().any(|told| told.position > end.position);
        in_hand == Some(self.request.ordinal) && superseded.is_some_and(|end| !is_told(end))
    }

    /// Keeps an attempt of another sync, if this one waited while it was under way.
    pub(super) fn wait_for(&mut self, attempt: &SyncAttempt) {
        let SyncAttempt { sync_id, started_at, finished_at, .. } = *attempt;
        let began = self.attempts.first().map(|first| first.attempt.started_at);
        let waited_to = began.or(self.end.as_ref().map(|end| end.at));
        if sync_id != self.request.sync_id
            && self.requested_at < finished_at
            && waited_to.is_none_or(|until| started_at < until)
        {
            self.others.push(OtherAttempt { sync_id, started_at, finished_at });
        }
    }

    /// Whether it may have been sent although its place was taken and no attempt of it is told: one had begun, and nobody has told how it
    /// ended. `untold` are the ordinals of such attempts that no event tells of yet.
    pub(in crate::views::explain) fn may_have_been_sent(&self, untold: Option<&RangeInclusive<u64>>) -> bool {
        let untold = untold.is_some_and(|untold| untold.contains(&self.request.ordinal));
        self.superseded_by.is_some() && self.attempts.is_empty() && self.fell_silent.unwrap_or(untold)
    }

    /// Takes note that an attempt at the listing is told.
    pub(super) fn hear(&mut self, attempt: &SyncAttempt) {
        if self.superseded_by.is_none() || !self.attempts.is_empty() || attempt.sync_id == self.request.sync_id {
            return;
        }
        // Older builds did not write down whose attempt it was.
        let is_its_own =
            attempt.silent.is_none_or(|silent| (silent.ordinal..=silent.last_ordinal).contains(&self.request.ordinal));
        self.fell_silent.get_or_insert(attempt.takes_over && is_its_own);
    }

    /// The attempt that ended without a word before the first one that is told.
    fn silent(&self) -> Option<SilentAttempt> {
        self.attempts.first()?.silent
    }

    /// Whether that was one of its own, as far as is recorded.
    pub(in crate::views::explain) fn fell_silent_first(&self) -> bool {
        self.silent().is_some_and(|silent| silent.ordinal.is_none_or(|ordinal| ordinal == self.request.ordinal))
    }

    /// When its first attempt began, UTC, where there was one: also one that ended without a word, where that is recorded.
    pub fn began(&self) -> Option<DateTime<Utc>> {
        let told = self.attempts.first()?.attempt.started_at;
        let silent = self.silent().filter(|_| self.fell_silent_first()).and_then(|silent| silent.since);
        Some(silent.map_or(told, |since| since.max(self.requested_at).min(told)))
    }

    /// What it waited behind, up to its first attempt.
    pub fn behind(&self) -> Behind {
        let mut others = self.others.clone();
        // One of another sync that ended without a word had begun before this one was asked for.
        let silent = self.silent().filter(|_| !self.fell_silent_first());
        let silent = silent.and_then(|silent| silent.sync_id.zip(silent.until));
        others.extend(silent.map(|(sync_id, until)| OtherAttempt {
            sync_id,
            started_at: self.requested_at,
            finished_at: until,
        }));
        others.sort_by_key(|other| other.started_at);
        let mut behind = Behind { until: self.requested_at, syncs: Vec::new(), silent: None };
        for other in others {
            if other.started_at <= behind.until && other.finished_at > behind.until {
                behind.until = other.finished_at;
                behind.syncs.push(other.sync_id);
            }
        }
        behind.syncs.dedup();
        behind.silent = silent.map(|(sync_id, _)| sync_id).filter(|silent| behind.syncs.contains(silent));
        if let Some(began) = self.began() {
            behind.until = behind.until.min(began);
        }
        behind
    }

    /// The sections that had to be sent when it was asked for. An older build's request does not name all of them where it took the
    /// place of a forced one.
    pub fn needs(&self) -> Vec<Section> {
        let request = &self.request;
        if self.forced { request.sections.keys().copied().collect() } else { request.needs.clone() }
    }
}
