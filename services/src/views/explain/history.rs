//! A listing's history, folded: each of its newest syncs with its attempts, and what the channel was known to have, section
//! by section, when the sync was sent. From the journal alone.

mod gone;
mod stood;
mod story;
mod unfollowed;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use adapters::event_store::PgEventLog;
use chrono::{DateTime, Utc};
use domain::channel::{RejectedPart, Section};
use domain::hash::{PayloadHash, SnapshotHash};
use domain::ids::{ExternalId, ListingId, SyncId};
use domain::listing::{ChannelListing, ListingEvent, SyncAttempt, SyncRequest};
use domain::outcome::{OutcomeClass, SyncOutcome};
use domain::recorded::{ChannelEvent, Recorded};
use domain::target::TargetEvent;
use projections::outbound_audit::TARGET_HAD_BEEN_DELETED;
use sqlx::PgPool;

use super::cancelled::CancelledBecause;
use super::doubt::Doubt;
use crate::views::history::NoHistory;
use stood::{State, Stood};

pub use story::{Attempt, BeforeUnlinking, Behind, End, OtherAttempt, SilentAttempt, SyncStory};

/// Syncs that are kept beside the one that is asked for.
const KEPT: usize = 20;
/// Events that are read at once.
const BATCH: i64 = 500;

/// What the channel took last of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// A snapshot whose section it is.
    pub snapshot: SnapshotHash,
    /// The section's hash.
    pub hash: PayloadHash,
    /// Why it may have something else by now; `None` where it is certain that it has not.
    pub doubt: Option<Doubt>,
    /// The parts of it that the channel answered with success and did not take.
    pub not_taken: Arc<[RejectedPart]>,
}

/// What the channel is known to have.
pub type KnownSections = BTreeMap<Section, Known>;

/// What became of a listing.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// As it is now.
    pub listing: ChannelListing,
    /// What the channel is known to have now.
    pub known: KnownSections,
    /// The newest syncs in order, and the one that is asked for.
    pub syncs: VecDeque<SyncStory>,
    bodies: HashMap<(Section, PayloadHash), SnapshotHash>,
    /// What the channel was known to have of listings there that an earlier link was of: one that is linked afresh may be found again.
    left: HashMap<ExternalId, KnownSections>,
    /// Sections that an attempt of another listing may have written, and that were not taken since.
    written_to: BTreeSet<Section>,
    /// How it stood before.
    stood: Stood,
    /// The newest of its syncs that has ended found it gone at the channel.
    found_gone: bool,
    /// Those of attempts of which nothing was told yet.
    intents: Vec<Intent>,
    wanted: Option<SyncId>,
}

/// That an attempt was about to create the listing, as it wrote down itself.
#[derive(Debug, Clone, Copy)]
struct Intent {
    sync_id: SyncId,
    at: DateTime<Utc>,
    /// The channel was to be read before anything was sent, as it stood before.
    verified: bool,
}

impl History {
    /// The history of a listing; one that never was has no link. `wanted` is kept however old it is.
    pub async fn read(pool: &PgPool, listing: ListingId, wanted: Option<SyncId>) -> Result<Self, NoHistory> {
        let log = PgEventLog::new(pool.clone());
        let mut history = Self { wanted, ..Self::default() };
        let (id, mut after) = (listing.to_string(), 0);
        loop {
            let batch = log.of_aggregate("ChannelListing", &id, after, BATCH).await?;
            let Some(last) = batch.last() else { return Ok(history) };
            after = last.sequence;
            for stored in batch {
                history.take(&stored.recorded()?);
            }
        }
    }

    /// The story of a sync.
    pub fn sync(&self, id: SyncId) -> Option<&SyncStory> {
        self.syncs.iter().find(|story| story.request.sync_id == id)
    }

    /// The sync that waits, or else the newest one.
    pub fn current(&self) -> Option<&SyncStory> {
        let pending = self.listing.pending().and_then(|pending| self.sync(pending.sync_id));
        pending.or_else(|| self.syncs.back())
    }

    /// It was linked afresh, and is not found at the channel, nor created there: what the channel has of it is not followed.
    pub fn is_afresh(&self) -> bool {
        self.listing.external_id().is_none() && !self.left.is_empty()
    }

    /// What had not come through by then ended with its target, as the audit has it: an outcome, once final, is replaced only by
    /// success.
    pub(super) fn end_with_target(&mut self, deletion: &Recorded) {
        let ChannelEvent::Target(TargetEvent::TargetDeleted { reason }) = &deletion.event else { return };
        let at = deletion.position.0;
        let stands = |end: &End| end.position < at || end.outcome.succeeded();
        let mut alone = Vec::new();
        for story in self.syncs.iter_mut().filter(|story| !story.end.as_ref().is_some_and(stands)) {
            if story.end.as_ref().is_some_and(|end| end.outcome == SyncOutcome::Superseded) {
                // Nothing took its place: it had ended by then.
                alone.extend(story.superseded_by.take());
            }
            let mut end = End::cancelled(CancelledBecause::TargetDeleted, deletion, reason);
            if story.position > at {
                // It was asked for in the moment of the deletion.
                (end.at, end.position) = (story.requested_at, story.position);
                end.reason = Some(TARGET_HAD_BEEN_DELETED.to_owned());
            }
            story.end = Some(end);
        }
        for story in self.syncs.iter_mut().filter(|story| alone.contains(&story.request.sync_id)) {
            story.supersedes = None;
        }
    }

    /// Takes the next event of the listing.
    pub fn take(&mut self, recorded: &Recorded) {
        let ChannelEvent::Listing(event) = &recorded.event else { return };
        let is_late = matches!(**event, ListingEvent::LateAttemptRecorded { .. });
        if let Some(attempt) = attempt_of(event).filter(|_| !is_late) {
            self.syncs.iter_mut().for_each(|story| story.hear(attempt));
        }
        self.tell(event, recorded);
        self.hear_of_gone(event);
        let in_time = self.in_time(event);
        let outlasting = self.outlasting(event);
        let told = attempt_of(event).filter(|_| outlasting.is_none());
        let told = told.map(|attempt| (attempt, self.may_have_sent(attempt)));
        let before = self.listing.external_id().cloned();
        let stood = State::of(&self.listing);
        self.listing.evolve((**event).clone());
        if !stood.is_of(&self.listing) {
            self.stood.end(stood, recorded.recorded_at);
        }
        let relinked = matches!(**event, ListingEvent::ListingLinked { .. });
        if self.listing.external_id() != before.as_ref() {
            self.follow(before, relinked);
        }
        let accepted = &self.listing.accepted().sections;
        for (section, known) in &mut self.known {
            known.doubt = match (&told, known.doubt) {
                (_, before) if relinked => Some(Doubt::after_link(before)),
                _ if accepted.contains_key(section) => Some(Doubt::Unknown),
                (Some((attempt, sent)), before) => Doubt::after(before, attempt, sent, *section),
                (None, before) => before,
            };
        }
        // What it took last it has, where the snapshot is known by now.
        for (section, hash) in accepted {
            // Of several snapshots with one body it is the one that was sent last: one before it may be of an account that only an
            // earlier link took from.
            let took = in_time.filter(|attempt| attempt.progress.sections.contains_key(section));
            let sent = took.and_then(|attempt| self.sync(attempt.sync_id)).map(|story| &story.request);
            let sent = sent.filter(|sent| sent.sections.get(section) == Some(hash)).map(|sent| sent.snapshot);
            let same = self.known.get(section).filter(|known| known.hash == *hash);
            let not_taken = match took {
                Some(attempt) => not_taken(attempt, *section).cloned().collect(),
                None => same.map(|known| Arc::clone(&known.not_taken)).unwrap_or_default(),
            };
            let known = sent.or_else(|| same.map(|known| known.snapshot));
            if let Some(snapshot) = known.or_else(|| self.bodies.get(&(*section, *hash)).copied()) {
                self.known.insert(*section, Known { snapshot, hash: *hash, doubt: None, not_taken });
            }
        }
        self.doubt_what_another_wrote(event, &recorded.metadata.actor, in_time);
        if let Some((attempt, before)) = outlasting {
            self.take_outlasting(attempt, before);
        }
    }

    /// The attempt that an event tells of, where what it got done counts: no younger one was told before it, and its job had not
    /// ended.
    fn in_time<'a>(&self, event: &'a ListingEvent) -> Option<&'a SyncAttempt> {
        let is_late = matches!(event, ListingEvent::LateAttemptRecorded { .. });
        attempt_of(event).filter(|attempt| !is_late && !self.listing.knows_younger(attempt))
    }

    fn tell(&mut self, event: &ListingEvent, recorded: &Recorded) {
        match event {
            ListingEvent::SyncRequested { request, supersedes } => {
                let known = self.known.clone();
                if let Some(story) = supersedes.and_then(|old| self.story(old)) {
                    story.known.get_or_insert(known);
                    story.superseded_by = Some(request.sync_id);
                    story.superseded_at = Some(recorded.recorded_at);
                    story.end = Some(End::of(SyncOutcome::Superseded, recorded, None));
                }
                self.begin(request, recorded, *supersedes, false);
            }
            ListingEvent::SyncSkipped { request } => self.begin(request, recorded, None, true),
            ListingEvent::CreationStarted { sync_id, at } => {
                let verified = self.listing.must_verify();
                self.intents.push(Intent { sync_id: *sync_id, at: *at, verified });
                if let Some(story) = self.story(*sync_id) {
                    story.creation_at = Some(*at);
                }
            }
            ListingEvent::SyncAccepted { attempt } => {
                let class = attempt.accepted_class();
                self.attempted(attempt, Some(class), recorded, Some(class.final_outcome()));
            }
            ListingEvent::SyncFoundUnchanged { attempt } => {
                self.attempted(attempt, None, recorded, Some(SyncOutcome::SkippedUnchanged));
            }
            ListingEvent::SyncDeferred { attempt, class, due_at } => {
                self.attempted(attempt, Some(attempt.class(*class)), recorded, None);
                if let Some(last) = self.story(attempt.sync_id).and_then(|story| story.attempts.last_mut()) {
                    last.due_at = Some(*due_at);
                }
            }
            ListingEvent::SyncFailed { attempt, class } => {
                self.attempted(attempt, Some(attempt.class(*class)), recorded, Some(class.final_outcome()));
            }
            ListingEvent::SupersededSyncFailed { attempt, class } => {
                self.attempted(attempt, Some(attempt.class(*class)), recorded, None);
            }
            ListingEvent::LateAttemptRecorded { attempt, class } => {
                self.attempted(attempt, class.map(|class| attempt.class(class)), recorded, None);
                if let Some(last) = self.story(attempt.sync_id).and_then(|story| story.attempts.last_mut()) {
                    last.late = true;
                }
            }
            ListingEvent::ListingUnlinked { reason, cancels } => {
                let (known, before) = (self.known.clone(), BeforeUnlinking::of(&self.listing));
                if let Some(story) = cancels.and_then(|id| self.story(id)) {
                    story.known.get_or_insert(known);
                    story.unlinked = Some(before);
                    story.end = Some(End::cancelled(CancelledBecause::ListingUnlinked, recorded, reason));
                }
            }
            // What holds it is told by the holds.
            ListingEvent::ListingPaused { .. }
            | ListingEvent::ListingResumed {}
            | ListingEvent::ListingLinked { .. } => {}
        }
    }

    fn story(&mut self, id: SyncId) -> Option<&mut SyncStory> {
        self.syncs.iter_mut().rev().find(|story| story.request.sync_id == id)
    }

    fn begin(&mut self, request: &SyncRequest, recorded: &Recorded, supersedes: Option<SyncId>, skipped: bool) {
        for (section, hash) in &request.sections {
            self.bodies.insert((*section, *hash), request.snapshot);
        }
        let forced = request.cause.forces() || self.listing.pending().is_some_and(|pending| pending.forced);
        self.syncs.push_back(SyncStory {
            request: request.clone(),
            metadata: recorded.metadata.clone(),
            requested_at: recorded.recorded_at,
            position: recorded.position.0,
            skipped,
            supersedes,
            superseded_by: None,
            superseded_at: None,
            forced,
            creation_at: None,
            attempts: Vec::new(),
            others: Vec::new(),
            fell_silent: None,
            end: skipped.then(|| End::of(SyncOutcome::SkippedUnchanged, recorded, None)),
            known: skipped.then(|| self.known.clone()),
            is_afresh: self.is_afresh(),
            unlinked: None,
        });
        if self.syncs.len() > KEPT {
            // The oldest goes; of the one that is asked for, the one after it.
            let oldest =
                usize::from(self.syncs.front().is_some_and(|story| Some(story.request.sync_id) == self.wanted));
            self.syncs.remove(oldest);
        }
    }

    /// Whether an attempt that is told now was to read the channel before it sent anything. Its own intent to create is none that it
    /// found: with a look-up before that nothing is in doubt.
    fn verified(&mut self, attempt: &SyncAttempt) -> bool {
        let time = attempt.started_at..=attempt.finished_at;
        let of_it = |intent: &&Intent| intent.sync_id == attempt.sync_id && time.contains(&intent.at);
        let found = self.intents.iter().find(of_it).map(|intent| intent.verified);
        self.intents.retain(|intent| intent.at > attempt.finished_at);
        attempt.takes_over || found.unwrap_or_else(|| self.listing.must_verify())
    }

    /// The attempt that ended without a word before one that took the listing over.
    fn silent_before(&self, attempt: &SyncAttempt) -> Option<SilentAttempt> {
        let known = attempt.silent.filter(|_| attempt.takes_over);
        let of = |ordinal: u64| self.syncs.iter().find(|story| story.request.ordinal == ordinal);
        attempt.takes_over.then(|| SilentAttempt {
            ordinal: known.map(|silent| silent.ordinal),
            sync_id: known.and_then(|silent| of(silent.ordinal)).map(|story| story.request.sync_id),
            since: known.and_then(|silent| silent.since),
            until: known.and_then(|silent| silent.until),
        })
    }

    fn attempted(
        &mut self,
        attempt: &SyncAttempt,
        class: Option<OutcomeClass>,
        recorded: &Recorded,
        outcome: Option<SyncOutcome>,
    ) {
        self.syncs.iter_mut().for_each(|story| story.wait_for(attempt));
        let known = self.known.clone();
        // As the dispatcher works it out: see `needs` and `verify_first` there.
        let unlinked = self.unlinked(attempt.sync_id).cloned();
        let after_unlinking = unlinked.is_some();
        let BeforeUnlinking { accepted, external_id } = unlinked.unwrap_or_else(|| BeforeUnlinking::of(&self.listing));
        let existed = external_id.is_some();
        let verified = self.verified(attempt);
        let silent = self.silent_before(attempt);
        let Some(story) = self.story(attempt.sync_id) else { return };
        story.known.get_or_insert(known);
        let all = !existed || story.forced || attempt.takes_over;
        let differs = |(section, hash): (&Section, &PayloadHash)| {
            (all || accepted.get(section) != Some(hash)).then_some(*section)
        };
        let needs = story.request.sections.iter().filter_map(differs).collect();
        let (attempt, position) = (attempt.clone(), recorded.position.0);
        if let Some(outcome) = outcome {
            story.end = Some(End::of(outcome, recorded, attempt.detail.clone()));
        }
        let due_at = None;
        let late = false;
        story.attempts.push(Attempt {
            attempt,
            class,
            due_at,
            late,
            after_unlinking,
            position,
            needs,
            existed,
            verified,
            silent,
        });
    }
}

/// The parts of a section that the channel did not take of what an attempt sent. What the mapping left out was not sent.
pub(super) fn not_taken(attempt: &SyncAttempt, section: Section) -> impl Iterator<Item = &RejectedPart> {
    attempt.rejected.iter().filter(move |part| part.section == section && !part.is_of_the_unit())
}

fn attempt_of(event: &ListingEvent) -> Option<&SyncAttempt> {
    match event {
        ListingEvent::SyncAccepted { attempt }
        | ListingEvent::SyncFoundUnchanged { attempt }
        | ListingEvent::SyncDeferred { attempt, .. }
        | ListingEvent::SyncFailed { attempt, .. }
        | ListingEvent::SupersededSyncFailed { attempt, .. }
        | ListingEvent::LateAttemptRecorded { attempt, .. } => Some(attempt),
        ListingEvent::ListingLinked { .. }
        | ListingEvent::SyncRequested { .. }
        | ListingEvent::SyncSkipped { .. }
        | ListingEvent::CreationStarted { .. }
        | ListingEvent::ListingPaused { .. }
        | ListingEvent::ListingResumed {}
        | ListingEvent::ListingUnlinked { .. } => None,
    }
}

#[cfg(test)]
mod tests;
