//! The decisions of a listing. Pure: a command and the state give events or a refusal.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::channel::RejectedPart;
use crate::ids::{ListingId, SyncId};
use crate::listing::{
    Cause, ChannelListing, Link, LinkListing, LinkState, ListingCommand, ListingError, ListingEvent, RequestSync,
    SyncAttempt, SyncReport, SyncRequest,
};
use crate::outcome::OutcomeClass;

impl ChannelListing {
    /// Decides on a command.
    pub fn decide(&self, command: ListingCommand) -> Result<Vec<ListingEvent>, ListingError> {
        if let ListingCommand::Link(link) = command {
            return self.link_to(link);
        }
        let (link, state) = self.linked()?;
        match command {
            ListingCommand::Link(_) => Err(ListingError::AlreadyLinked),
            ListingCommand::RecordOutcome(report) => self.record(report),
            _ if state == LinkState::Unlinked => Err(ListingError::Unlinked),
            ListingCommand::RequestSync(request) => self.request(link, request),
            ListingCommand::StartCreation { sync_id, ordinal, at, began_at, replaces } => {
                self.start_creation((sync_id, ordinal), at, began_at, replaces)
            }
            ListingCommand::Pause { reason } => match state {
                LinkState::Paused => Err(ListingError::AlreadyPaused),
                _ => Ok(vec![ListingEvent::ListingPaused { reason }]),
            },
            ListingCommand::Resume => match state {
                LinkState::Paused => Ok(vec![ListingEvent::ListingResumed {}]),
                _ => Err(ListingError::NotPaused),
            },
            ListingCommand::Unlink { reason } => {
                let cancels = self.pending.as_ref().map(|pending| pending.sync_id);
                Ok(vec![ListingEvent::ListingUnlinked { reason, cancels }])
            }
        }
    }

    fn linked(&self) -> Result<(&Link, LinkState), ListingError> {
        self.link.as_ref().zip(self.state).ok_or(ListingError::NotFound)
    }

    fn link_to(&self, link: LinkListing) -> Result<Vec<ListingEvent>, ListingError> {
        let generation = match (self.state, &self.link) {
            (None, _) | (_, None) => 1,
            (Some(LinkState::Unlinked), Some(before)) => before.generation + 1,
            _ => return Err(ListingError::AlreadyLinked),
        };
        if let Some(id) = &self.unproved
            && link.external_id.is_none()
            && !link.afresh
        {
            return Err(ListingError::Unproved(id.clone()));
        }
        let from_account_id = link.unit_account_id.filter(|account| *account != link.account_id);
        Ok(vec![ListingEvent::ListingLinked {
            listing_id: ListingId::of(link.target_id, &link.unit_id),
            org_id: link.org_id,
            account_id: link.account_id,
            unit_id: link.unit_id,
            target_id: link.target_id,
            // What was created there before is taken up again rather than created twice.
            external_id: link.external_id.or_else(|| self.external_id.clone().filter(|_| !link.afresh)),
            generation,
            from_account_id,
        }])
    }

    fn request(&self, link: &Link, wish: RequestSync) -> Result<Vec<ListingEvent>, ListingError> {
        if (&wish.snapshot_org, &wish.snapshot_unit) != (&link.org_id, &link.unit_id) {
            return Err(ListingError::ForeignSnapshot { org: wish.snapshot_org, unit: wish.snapshot_unit });
        }
        // Nothing is remembered of it: when the unit is back, its revision is newer than the one that was taken last.
        if !link.takes_from(&wish.snapshot_account) {
            return Err(ListingError::UnitElsewhere);
        }
        // "The latest state" was read a moment ago; a newer one may have been asked for since.
        if matches!(wish.cause, Cause::Manual { .. }) && wish.revision < self.last_revision {
            return Err(ListingError::StaleRevision { have: self.last_revision, got: wish.revision });
        }
        if matches!(wish.cause, Cause::UnitChanged | Cause::Linked) {
            match wish.revision {
                revision if revision == self.last_revision => return Err(ListingError::DuplicateRevision(revision)),
                got if got < self.last_revision => {
                    return Err(ListingError::StaleRevision { have: self.last_revision, got });
                }
                _ => {}
            }
        }
        // What takes the place of a forced sync that was not sent is forced as well.
        let forced = wish.cause.forces() || self.pending.as_ref().is_some_and(|pending| pending.forced);
        let idempotency_key = wish.key(link.listing_id, link.generation);
        let needs = if forced { wish.sections.keys().copied().collect() } else { self.differing(&wish.sections) };
        let unchanged = !forced && self.pending.is_none() && needs.is_empty();
        let request = SyncRequest {
            sync_id: SyncId(Uuid::new_v5(&link.listing_id.0, idempotency_key.as_bytes())),
            ordinal: self.last_ordinal + 1,
            idempotency_key,
            cause: wish.cause,
            snapshot: wish.snapshot,
            revision: wish.revision,
            sections: wish.sections,
            needs,
            rejected: RejectedPart::bounded(wish.rejected),
            origin: wish.origin,
        };
        if unchanged {
            return Ok(vec![ListingEvent::SyncSkipped { request }]);
        }
        let supersedes = self.pending.as_ref().map(|pending| pending.sync_id);
        Ok(vec![ListingEvent::SyncRequested { request, supersedes }])
    }

    /// Invariant: no duplicate listing at the channel. The version guard of the journal lets one intent through, and
    /// an intent whose end is unknown keeps every other attempt away until its call can no longer arrive.
    fn start_creation(
        &self,
        (sync_id, ordinal): (SyncId, u64),
        at: DateTime<Utc>,
        began_at: DateTime<Utc>,
        replaces: Option<DateTime<Utc>>,
    ) -> Result<Vec<ListingEvent>, ListingError> {
        // An id that is not proved, too: one listing was made already.
        if self.external_id.is_some() || self.unproved.is_some() {
            return Err(ListingError::AlreadyCreated);
        }
        // Of a job that is over, such as one of an earlier link, the look-up is too old: another may have created meanwhile.
        let is_over = ordinal <= self.finished_ordinal;
        if is_over || self.has_lost(sync_id, ordinal) {
            return Err(ListingError::NotPending(sync_id));
        }
        match self.creation {
            // What counts is when it was looked for: a look-up from before that moment may have been too early.
            Some(other) if Some(other.started_at) != replaces && began_at < other.settles_at() => {
                Err(ListingError::CreationUnderWay { until: other.settles_at() })
            }
            _ => Ok(vec![ListingEvent::CreationStarted { sync_id, at }]),
        }
    }

    /// Whether a job is none of this listing's: a journal that was put back to an earlier state gives the ordinals of jobs that it
    /// lost to others.
    fn has_lost(&self, sync_id: SyncId, ordinal: u64) -> bool {
        let pending = self.pending.as_ref().map(|pending| (pending.ordinal, pending.sync_id));
        let finished = self.finished_sync.map(|finished| (self.finished_ordinal, finished));
        let is_another = |(of, known): (u64, SyncId)| of == ordinal && known != sync_id;
        ordinal > self.last_ordinal || pending.into_iter().chain(finished).any(is_another)
    }

    fn record(&self, report: SyncReport) -> Result<Vec<ListingEvent>, ListingError> {
        if report.ordinal == 0 || self.has_lost(report.sync_id, report.ordinal) {
            return Err(ListingError::NotPending(report.sync_id));
        }
        if self.has_recorded(&report) {
            return Ok(Vec::new());
        }
        let mine = self.pending.as_ref().filter(|pending| pending.ordinal == report.ordinal);
        let burned = mine.map_or(0, |pending| pending.attempts);
        let mut rejected = mine.map_or_else(Vec::new, |pending| pending.rejected.clone());
        rejected.extend(report.rejected.into_iter().filter(|part| !mine.is_some_and(|p| p.rejected.contains(part))));
        let burns = report.class.is_some_and(OutcomeClass::burns_attempt);
        let attempt = SyncAttempt {
            sync_id: report.sync_id,
            ordinal: report.ordinal,
            attempt: burned + u32::from(burns || report.class.is_none_or(|class| !class.retriable())),
            takes_over: report.takes_over,
            silent: report.silent,
            started_at: report.started_at,
            finished_at: report.finished_at,
            progress: report.progress,
            rejected: RejectedPart::bounded(rejected),
            calls: report.calls,
            detail: report.detail,
            stopped: report.class == Some(OutcomeClass::Stopped),
        };
        let class = report.class.map(OutcomeClass::in_event);
        if report.ordinal <= self.finished_ordinal {
            let told = !attempt.calls.is_empty() || attempt.progress.external_id.is_some();
            return Ok(if told { vec![ListingEvent::LateAttemptRecorded { attempt, class }] } else { Vec::new() });
        }
        let superseded = self.pending.as_ref().is_some_and(|pending| pending.ordinal > report.ordinal);
        Ok(vec![match class {
            None => ListingEvent::SyncFoundUnchanged { attempt },
            Some(class) if class.succeeded() => ListingEvent::SyncAccepted { attempt },
            Some(class) if superseded => ListingEvent::SupersededSyncFailed { attempt, class },
            Some(class) if !report.hopeless && class.retriable() && attempt.attempt < report.max_attempts => {
                ListingEvent::SyncDeferred { attempt, class, due_at: report.retry_at }
            }
            Some(class) => ListingEvent::SyncFailed { attempt, class },
        }])
    }
}
