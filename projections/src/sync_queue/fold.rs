//! What each event does to the queue row of its listing, and which lanes it wakes.

use chrono::TimeDelta;
use domain::channel::Section;
use domain::listing::{ListingEvent, SyncAttempt, SyncRequest};
use domain::recorded::{ChannelEvent, Recorded};
use domain::target::TargetEvent;

use super::lanes::Wakes;
use super::rows::QueueRow;
use crate::behind::{Before, NextRequests, taken_over};
use crate::column::{bigint, joined};
use crate::deleted_targets::{DeletedTargets, target_of};
use crate::working::{Changes, Working};

pub(super) fn fold(
    queue: Working<QueueRow>,
    deleted: &DeletedTargets,
    next: NextRequests,
    batch: &[Recorded],
) -> (Changes<QueueRow>, Wakes) {
    let mut fold = Fold { queue, next, wakes: Wakes::default() };
    for event in batch {
        match &event.event {
            ChannelEvent::Target(what) => fold.target(event, what),
            ChannelEvent::Listing(what) => fold.listing(event, what, deleted),
        }
    }
    let changes = fold.queue.into_changes();
    for row in &changes.upserts {
        fold.wakes.at(row.target_id, row.due_at);
    }
    (changes, fold.wakes)
}

struct Fold {
    queue: Working<QueueRow>,
    next: NextRequests,
    wakes: Wakes,
}

impl Fold {
    fn target(&mut self, event: &Recorded, what: &TargetEvent) {
        match what {
            TargetEvent::TargetDeleted { .. } => self.queue.remove_where(|row| row.target_id == event.aggregate_id),
            // What held the target's work back may be gone.
            TargetEvent::TargetResumed {}
            | TargetEvent::HealthChanged { .. }
            | TargetEvent::CredentialRotated { .. }
            | TargetEvent::RateLimitChanged { .. }
            | TargetEvent::TargetConfigured { .. } => self.wakes.now(event.aggregate_id),
            TargetEvent::TargetCreated { .. } | TargetEvent::TargetPaused { .. } => {}
        }
    }

    fn listing(&mut self, event: &Recorded, what: &ListingEvent, deleted: &DeletedTargets) {
        match what {
            ListingEvent::SyncRequested { request, .. } if !deleted.before(event) => self.requested(event, request),
            ListingEvent::SyncAccepted { attempt } | ListingEvent::SyncFoundUnchanged { attempt } => {
                if self.is_queued(event, attempt) {
                    self.queue.remove(event.aggregate_id);
                } else {
                    self.came_through(event, attempt);
                }
            }
            ListingEvent::SyncFailed { attempt, .. } => {
                if self.is_queued(event, attempt) {
                    self.queue.remove(event.aggregate_id);
                }
            }
            ListingEvent::SyncDeferred { attempt, due_at, .. } => {
                if self.is_queued(event, attempt)
                    && let Some(row) = self.queue.change(event.aggregate_id)
                {
                    row.due_at = *due_at;
                    row.tries = row.tries.saturating_add(1);
                    row.position = event.position.0;
                }
            }
            ListingEvent::ListingUnlinked { .. } => self.queue.remove(event.aggregate_id),
            ListingEvent::ListingResumed {} => self.wakes.now(target_of(event)),
            ListingEvent::SyncRequested { .. }
            | ListingEvent::SyncSkipped { .. }
            | ListingEvent::ListingLinked { .. }
            | ListingEvent::CreationStarted { .. }
            | ListingEvent::SupersededSyncFailed { .. }
            | ListingEvent::LateAttemptRecorded { .. }
            | ListingEvent::ListingPaused { .. } => {}
        }
    }

    /// Invariant: latest wins. A change that supersedes keeps the place of the one before it, so that a unit which
    /// changes all the time is not overtaken for ever. It keeps its clock, too: the channel has been behind since then.
    fn requested(&mut self, event: &Recorded, request: &SyncRequest) {
        let patience_s = request.needs.iter().min().map_or(Section::Availability.patience_s(), |s| s.patience_s());
        let own_rank = event.recorded_at + TimeDelta::seconds(patience_s);
        let before = self.queue.get(event.aggregate_id);
        let rank = before.map_or(own_rank, |before| before.rank.min(own_rank));
        let clock = before.map(|row| Before { differs: !row.needs.is_empty(), since: row.waits_since() });
        let behind_since = taken_over(request, clock);
        let row = QueueRow {
            listing_id: event.aggregate_id,
            org_id: event.metadata.org_id.to_string(),
            account_id: event.metadata.account_id.to_string(),
            target_id: target_of(event),
            sync_id: request.sync_id.0,
            ordinal: bigint(request.ordinal),
            tries: 0,
            snapshot: request.snapshot.as_bytes().to_vec(),
            revision: bigint(request.revision),
            needs: joined(&request.needs),
            rank,
            due_at: event.recorded_at,
            requested_at: event.recorded_at,
            behind_since,
            position: event.position.0,
        };
        self.queue.put(event.aggregate_id, row);
    }

    /// The channel has got an earlier job, so what it is behind of came after that one.
    fn came_through(&mut self, event: &Recorded, attempt: &SyncAttempt) {
        let (id, got) = (event.aggregate_id, bigint(attempt.ordinal));
        let Some(row) = self.queue.get(id).filter(|row| row.ordinal > got) else { return };
        let behind_since = self.next.restarted(id, got, row.ordinal);
        if let Some(row) = self.queue.change(id) {
            row.behind_since = behind_since;
        }
    }

    fn is_queued(&self, event: &Recorded, attempt: &SyncAttempt) -> bool {
        self.queue.get(event.aggregate_id).is_some_and(|row| row.ordinal == bigint(attempt.ordinal))
    }
}
