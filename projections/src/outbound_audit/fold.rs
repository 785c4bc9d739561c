//! What each event does to the row of its sync job.
//!
//! An outcome, once final, is replaced only by success: the channel took the job after all.

use chrono::{DateTime, Utc};
use domain::ids::SyncId;
use domain::listing::{ListingEvent, SyncAttempt, SyncRequest};
use domain::outcome::{OutcomeClass, SyncOutcome};
use domain::recorded::{ChannelEvent, Recorded};
use domain::target::TargetEvent;

use super::TARGET_HAD_BEEN_DELETED;
use super::activity::Activity;
use super::attempts::Call;
use super::job::{Job, Standing};
use crate::behind::{Before, NextRequests, taken_over};
use crate::column::{bigint, integer, rejected_json};
use crate::deleted_targets::DeletedTargets;
use crate::working::Working;

/// What is to be stored.
pub(super) struct Folded<'a> {
    pub(super) new: Vec<Job<'a>>,
    pub(super) changed: Vec<Job<'a>>,
    pub(super) calls: Vec<Call<'a>>,
    pub(super) activity: Activity,
}

/// What an attempt means for its job.
enum End {
    Succeeded(SyncOutcome),
    Failed(SyncOutcome),
    Deferred(DateTime<Utc>),
    /// The job's outcome stands already.
    Noted,
}

struct Fold<'a> {
    jobs: Working<Job<'a>>,
    next: NextRequests,
    calls: Vec<Call<'a>>,
    activity: Activity,
}

pub(super) fn fold<'a>(
    jobs: Working<Job<'a>>,
    deleted: &DeletedTargets,
    next: NextRequests,
    batch: &'a [Recorded],
) -> Folded<'a> {
    let mut fold = Fold { jobs, next, calls: Vec::new(), activity: Activity::default() };
    for event in batch {
        match &event.event {
            ChannelEvent::Target(TargetEvent::TargetDeleted { reason }) => fold.target_deleted(event, reason),
            ChannelEvent::Target(_) => {}
            ChannelEvent::Listing(listing) => fold.listing(event, listing, deleted),
        }
    }
    let (new, changed) = fold.jobs.into_changes().upserts.into_iter().partition(|job| job.request.is_some());
    Folded { new, changed, calls: fold.calls, activity: fold.activity }
}

impl<'a> Fold<'a> {
    fn listing(&mut self, event: &'a Recorded, what: &'a ListingEvent, deleted: &DeletedTargets) {
        match what {
            ListingEvent::SyncRequested { request, supersedes } => {
                self.requested(event, request, *supersedes, deleted.before(event));
                if let Some(old) = supersedes.filter(|old| *old != request.sync_id) {
                    self.superseded(event, old, request.sync_id);
                }
            }
            ListingEvent::SyncSkipped { request } => {
                let job = Job::ended(event, request, SyncOutcome::SkippedUnchanged, None);
                self.jobs.put(request.sync_id.0, job);
                self.activity.requested(event);
                self.activity.ended(event, SyncOutcome::SkippedUnchanged, event.recorded_at, event.recorded_at);
            }
            ListingEvent::SyncAccepted { attempt } => {
                let class = attempt.accepted_class();
                self.attempted(event, attempt, Some(class), &End::Succeeded(class.final_outcome()));
            }
            ListingEvent::SyncFoundUnchanged { attempt } => {
                self.attempted(event, attempt, None, &End::Succeeded(SyncOutcome::SkippedUnchanged));
            }
            ListingEvent::SyncFailed { attempt, class } => {
                self.attempted(event, attempt, Some(attempt.class(*class)), &End::Failed(class.final_outcome()));
            }
            ListingEvent::SyncDeferred { attempt, class, due_at } => {
                self.attempted(event, attempt, Some(attempt.class(*class)), &End::Deferred(*due_at));
            }
            ListingEvent::SupersededSyncFailed { attempt, class } => {
                self.attempted(event, attempt, Some(attempt.class(*class)), &End::Noted);
            }
            ListingEvent::LateAttemptRecorded { attempt, .. } => self.late(event, attempt),
            ListingEvent::ListingUnlinked { reason, cancels: Some(sync_id) } => self.cancelled(event, *sync_id, reason),
            ListingEvent::ListingUnlinked { cancels: None, .. }
            | ListingEvent::ListingLinked { .. }
            | ListingEvent::CreationStarted { .. }
            | ListingEvent::ListingPaused { .. }
            | ListingEvent::ListingResumed {} => {}
        }
    }

    fn requested(
        &mut self,
        event: &'a Recorded,
        request: &'a SyncRequest,
        supersedes: Option<SyncId>,
        target_is_deleted: bool,
    ) {
        self.activity.requested(event);
        let before = supersedes.and_then(|old| self.jobs.get(old.0));
        let clock = before.map(|job| Before { differs: job.now.differs, since: job.now.waits_since() });
        let behind_since = taken_over(request, clock);
        let mut job = if target_is_deleted {
            self.activity.ended(event, SyncOutcome::Cancelled, event.recorded_at, event.recorded_at);
            Job::ended(event, request, SyncOutcome::Cancelled, Some(TARGET_HAD_BEEN_DELETED))
        } else {
            Job::pending(event, request)
        };
        job.now.behind_since = behind_since;
        self.jobs.put(request.sync_id.0, job);
    }

    /// A job that had come through keeps its end: it was asked for again under its id, and it is that wish whose place is taken.
    fn superseded(&mut self, event: &Recorded, old: SyncId, by: SyncId) {
        if let Some(job) = self.pending(old) {
            job.end(SyncOutcome::Superseded, event.recorded_at);
            job.superseded_by = Some(by.0);
            job.updated_position = event.position.0;
            let since = job.waits_since();
            self.activity.ended(event, SyncOutcome::Superseded, since, event.recorded_at);
        } else if self.jobs.get(old.0).is_some_and(|job| job.now.has_come_through())
            && let Some(Job { now: job, .. }) = self.jobs.change(old.0)
        {
            job.superseded_by = Some(by.0);
            job.updated_position = event.position.0;
        }
    }

    fn cancelled(&mut self, event: &Recorded, sync_id: SyncId, reason: &str) {
        if let Some(job) = self.pending(sync_id) {
            job.cancel(event, reason);
            let since = job.waits_since();
            self.activity.ended(event, SyncOutcome::Cancelled, since, event.recorded_at);
        }
    }

    fn target_deleted(&mut self, event: &Recorded, reason: &str) {
        let activity = &mut self.activity;
        self.jobs.change_where(
            |job| job.now.target_id == event.aggregate_id && job.now.is_pending(),
            |job| {
                job.now.cancel(event, reason);
                activity.ended(event, SyncOutcome::Cancelled, job.now.waits_since(), event.recorded_at);
            },
        );
    }

    fn pending(&mut self, sync_id: SyncId) -> Option<&mut Standing> {
        if !self.jobs.get(sync_id.0)?.now.is_pending() {
            return None;
        }
        self.jobs.change(sync_id.0).map(|job| &mut job.now)
    }

    fn attempted(&mut self, event: &'a Recorded, attempt: &'a SyncAttempt, class: Option<OutcomeClass>, end: &End) {
        let Some(Job { now: job, .. }) = self.jobs.change(attempt.sync_id.0) else {
            return unknown_job(event, attempt);
        };
        job.note_attempt(event, attempt);
        job.class = class.map(|class| class.as_str().to_owned());
        job.attempts = job.attempts.max(integer(attempt.attempt));
        // Of one that was cancelled it says why.
        if !job.is_cancelled() || matches!(end, End::Succeeded(_)) {
            job.detail.clone_from(&attempt.detail);
        }
        let ends = !matches!(end, End::Deferred(_));
        if ends || !attempt.rejected.is_empty() {
            job.rejected = rejected_json(&attempt.rejected);
        }
        match end {
            End::Succeeded(outcome) => Self::end(&mut self.activity, job, event, attempt, *outcome),
            End::Failed(outcome) if job.is_pending() => Self::end(&mut self.activity, job, event, attempt, *outcome),
            End::Deferred(due_at) if job.is_pending() => job.next_attempt_at = Some(*due_at),
            End::Failed(_) | End::Deferred(_) | End::Noted => {}
        }
        if matches!(end, End::Succeeded(_)) {
            self.came_through(event, attempt);
        }
        self.add_calls(event, attempt, false);
    }

    fn end(activity: &mut Activity, job: &mut Standing, event: &Recorded, attempt: &SyncAttempt, outcome: SyncOutcome) {
        let (since, at) = (job.waits_since(), attempt.finished_at);
        if job.is_pending() {
            activity.ended(event, outcome, since, at);
        } else {
            activity.ended_again(event, outcome, since, at);
        }
        job.end(outcome, at);
    }

    /// The channel has got a job: those that took its place while it was under way count from the first of their requests.
    fn came_through(&mut self, event: &Recorded, attempt: &SyncAttempt) {
        let (mut next, mut seen, got) = (Some(attempt.sync_id.0), 0, bigint(attempt.ordinal));
        while let Some(id) = next {
            let Some(Job { now: job, .. }) = self.jobs.get(id) else { return };
            if job.ordinal <= seen {
                // Each was asked for after the one before it.
                return;
            }
            (next, seen) = (job.superseded_by, job.ordinal);
            if job.ordinal <= got {
                continue;
            }
            let since = self.next.restarted(event.aggregate_id, got, job.ordinal);
            let differs = job.behind_since != since;
            if differs && let Some(Job { now: job, .. }) = self.jobs.change(id) {
                job.behind_since = since;
            }
        }
    }

    fn late(&mut self, event: &'a Recorded, attempt: &'a SyncAttempt) {
        let Some(Job { now: job, .. }) = self.jobs.change(attempt.sync_id.0) else {
            return unknown_job(event, attempt);
        };
        job.note_attempt(event, attempt);
        self.add_calls(event, attempt, true);
    }

    fn add_calls(&mut self, event: &'a Recorded, attempt: &'a SyncAttempt, late: bool) {
        let calls = (0..).zip(&attempt.calls).map(|(index, call)| Call { event, attempt, call, index, late });
        self.calls.extend(calls);
    }
}

/// The aggregate lets no such attempt through; should one be there, it must not stop the projection.
fn unknown_job(event: &Recorded, attempt: &SyncAttempt) {
    let (listing_id, org_id) = (event.aggregate_id, &event.metadata.org_id);
    tracing::warn!(position = event.position.0, %org_id, %listing_id, sync_id = %attempt.sync_id, "an attempt at a sync that was never asked for");
}
