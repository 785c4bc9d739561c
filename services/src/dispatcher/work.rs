//! One try at one listing: read it from the journal, push what differs, record what came of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters::dispatch::{FinishedTry, Lease};
use chrono::{DateTime, TimeDelta, Utc};
use domain::channel::{ListingPayload, Section};
use domain::listing::{ListingError, Progress};
use domain::outcome::OutcomeClass;
use domain::port::{Push, PushReport};
use domain::text::trace_id;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::job::{Job, NoJob, read};
use super::message::Message;
use super::overtaken::{SentDoubt, send_again};
use super::record::{Told, log, log_cut, record, sync_report};
use super::sync_slots::SyncSlots;
use super::trace::{self, Moments};
use super::{Shared, target_health};
use crate::payloads::PayloadError;
use crate::slots::granted::Granted;
use crate::slots::permit::SlotEnd;
use crate::stopping::Stopping;

/// How long a listing that cannot be worked on now is kept before it is given back.
const HELD_FOR: Duration = Duration::from_secs(1);
/// How long one is left alone that this build cannot read, so that the others of its target have their turn.
const UNREADABLE_FOR: Duration = Duration::from_secs(60);
/// A stale row of the queue is left alone for so much longer than one whose work is done: where the projector stands there are many, and
/// each look at one takes a turn from what has something to send. A newer job of its listing does not wait for that.
const STALE_FOR: Duration = Duration::from_secs(240);
/// As much as this clock and the database's, by which rows are due, may differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);

/// From a sync's request on its unit's snapshot may come for so long: where a failover has lost it, the intake has it again from NATS.
const MAY_COME: TimeDelta = TimeDelta::minutes(5);

/// Works on a leased listing. Whatever happens, the lease and the first slot find their way back to the gate.
pub(super) async fn work(
    shared: Arc<Shared>,
    lease: Lease,
    first: Granted,
    gate: mpsc::UnboundedSender<Message>,
    stopping: Stopping,
) {
    let claimed_at = Utc::now();
    let mut job = match read(&shared, lease).await {
        Ok(job) => job,
        Err(why) => {
            let _ = gate.send(Message::Slot(SlotEnd::Unused(first.hold)));
            let _ = gate.send(give_up(lease, why).await);
            return;
        }
    };
    let ordinal = ordinal(&job);
    if ordinal != lease.ordinal
        && let Err(error) = shared.store.name_job(lease.listing_id, ordinal).await
    {
        tracing::debug!(error = %error, "the lease names an older job than the one that is worked on");
    }
    let span = tracing::info_span!(
        "sync",
        trace_id = trace_id(job.metadata.traceparent.as_deref()),
        org_id = %job.link.org_id,
        target_id = %job.link.target_id,
        listing_id = %lease.listing_id,
        unit_id = %job.link.unit_id,
        sync_id = %job.pending.sync_id,
    );
    work_on(&shared, lease, &mut job, claimed_at, first, &gate, &stopping).instrument(span).await;
}

async fn work_on(
    shared: &Shared,
    lease: Lease,
    job: &mut Job,
    claimed_at: DateTime<Utc>,
    first: Granted,
    gate: &mpsc::UnboundedSender<Message>,
    stopping: &Stopping,
) {
    let started_at = Utc::now();
    let slots = SyncSlots {
        gate: gate.clone(),
        commands: &shared.commands,
        target: &job.target,
        egress: &shared.options.egress,
        listing_id: lease.listing_id,
        sync_id: job.pending.sync_id,
        ordinal: job.pending.ordinal,
        metadata: &job.metadata,
        began_at: started_at,
        first: Mutex::new(Some(first)),
        intent: Mutex::new(None),
        places: &shared.learning,
    };
    let attempt = tokio::select! {
        attempt = attempt(shared, job, &slots) => attempt,
        () = stopping.in_vain.cancelled() => return log_cut(job),
    };
    slots.give_back();
    let ended = match attempt {
        Attempt::Postponed(reason) => {
            tracing::debug!(listing_id = %lease.listing_id, reason, "a sync is postponed");
            let _ = gate.send(Message::Released(lease));
            return;
        }
        Attempt::Unchanged => None,
        Attempt::Pushed(report) => Some(report),
    };
    let stage = trace::tell(shared, job, Moments { claimed_at, started_at }, ended.as_ref()).await;
    job.metadata.traceparent = stage.traceparent();
    if let Some(report) = &ended {
        log(job, report);
        tokio::select! {
            () = target_health::report(shared, &job.target, &job.metadata, report) => {}
            () = stopping.in_vain.cancelled() => {}
        }
        if let Some(failed) = target_health::failed(report) {
            let _ = gate.send(Message::Ended(job.target.target_id, failed));
        }
    }
    let has_called = ended.as_ref().is_some_and(|report| !report.calls.is_empty());
    let report = sync_report(shared, job, started_at, ended);
    let rests = (report.retry_at - Utc::now()).to_std().unwrap_or_default();
    let told = record(shared, job, report, stopping).await;
    if let Some(doubt) = SentDoubt::after(told, has_called) {
        tokio::select! {
            () = send_again(shared, job, started_at, doubt) => {}
            () = stopping.in_vain.cancelled() => {}
        }
    }
    drop(stage);
    let _ = gate.send(match told {
        Told::Written => Message::Finished(FinishedTry { lease, ordinal: ordinal(job), rests }),
        // Where the database has the lease still, whoever takes the listing up next takes it over.
        Told::OfLostJob => Message::SetAside(lease, Duration::ZERO),
        Told::Nowhere => Message::SetAside(lease, UNREADABLE_FOR),
    });
}

fn ordinal(job: &Job) -> i64 {
    i64::try_from(job.pending.ordinal).unwrap_or(i64::MAX)
}

/// What becomes of a lease on which there is nothing to do now.
async fn give_up(lease: Lease, why: NoJob) -> Message {
    let listing_id = lease.listing_id;
    match why {
        // The queue row was stale, and the projector is about to take it away.
        NoJob::Nothing => {
            return Message::Finished(FinishedTry { lease, ordinal: lease.ordinal, rests: STALE_FOR });
        }
        NoJob::NotYet(due) => return not_yet(lease, due).await,
        NoJob::Unreadable(error) => {
            tracing::error!(%listing_id, error, "this build cannot read a listing; it is set aside");
            return Message::SetAside(lease, UNREADABLE_FOR);
        }
        NoJob::Unavailable(error) => {
            tracing::warn!(%listing_id, error, "a listing could not be read; it is tried again");
        }
        // Until the read models show it, the gate would find the listing due again and again.
        NoJob::Held => {}
    }
    tokio::time::sleep(HELD_FOR).await;
    Message::Released(lease)
}

/// What becomes of a lease whose job has its next attempt later, by this clock.
async fn not_yet(lease: Lease, due: DateTime<Utc>) -> Message {
    let rests = (due - Utc::now()).to_std().unwrap_or_default();
    if rests <= CLOCKS_DIFFER {
        // The row may be right, and this clock behind: marked as done it would be left alone for a minute.
        tokio::time::sleep(rests.min(HELD_FOR)).await;
        return Message::Released(lease);
    }
    if lease.takes_over {
        // What had been sent before stays as unknown as it was.
        return Message::SetAside(lease, rests.min(UNREADABLE_FOR));
    }
    Message::Finished(FinishedTry { lease, ordinal: lease.ordinal, rests })
}

enum Attempt {
    /// Nothing differs.
    Unchanged,
    /// Something was sent, or tried to.
    Pushed(PushReport),
    /// Nothing happened that the journal should know of.
    Postponed(String),
}

async fn attempt(shared: &Shared, job: &Job, slots: &SyncSlots<'_>) -> Attempt {
    let (kind, snapshot) = (job.target.channel, job.pending.snapshot);
    let payload = match shared.payloads.take(kind, snapshot, &job.link).await {
        Ok(Some(payload)) => payload,
        Ok(None) => {
            // Others of its target need no room, or less.
            slots.give_back();
            tokio::time::sleep(HELD_FOR).await;
            return Attempt::Postponed("other large ones are sent first".to_owned());
        }
        Err(PayloadError::Store(error)) => {
            tokio::time::sleep(HELD_FOR).await;
            return Attempt::Postponed(error.to_string());
        }
        Err(error) => {
            if matches!(error, PayloadError::NotFound(_)) && may_come(shared, job).await {
                slots.give_back();
                tokio::time::sleep(HELD_FOR).await;
                return Attempt::Postponed(error.to_string());
            }
            // A job that an older build has asked for may be of a unit that had moved to another account.
            return Attempt::Pushed(without_calls(OutcomeClass::Rejected, error.to_string()));
        }
    };
    if job.listing.external_id().is_none()
        && let Some(until) =
            job.listing.creation().map(|creation| creation.settles_at()).filter(|until| *until > Utc::now())
    {
        return Attempt::Pushed(too_early(until));
    }
    let needs = needs(job, &payload);
    if needs.is_empty() {
        return Attempt::Unchanged;
    }
    let push = Push {
        target: &job.target,
        listing_id: job.link.listing_id,
        unit_id: &job.link.unit_id,
        external_id: job.listing.external_id(),
        unproved: job.listing.unproved(),
        payload: &payload,
        needs: &needs,
        verify_first: job.listing.must_verify() || job.takes_over,
    };
    let mut report = shared.channels.of(kind).push(push, slots).await;
    if report.class == OutcomeClass::Stopped
        && report.calls.is_empty()
        && report.retry_at.is_none_or(|at| at <= Utc::now())
    {
        return Attempt::Postponed(report.detail.unwrap_or_default());
    }
    // What the mapping left out of the sections that were sent is refused as much as what the channel refused; so is a
    // section of which it left nothing.
    let is_told = |section| needs.contains(&section) || !payload.sections.contains_key(&section);
    let left_out = payload.rejected.iter().filter(|part| is_told(part.section));
    report.rejected.extend(left_out.cloned());
    if report.class == OutcomeClass::Accepted && !report.rejected.is_empty() {
        report.class = OutcomeClass::AcceptedWithRejections;
    }
    Attempt::Pushed(report)
}

/// Whether the snapshot of a job that is not there may come yet.
async fn may_come(shared: &Shared, job: &Job) -> bool {
    let asked = shared.commands.journal().asked_for_at(job.link.listing_id, job.pending.sync_id).await;
    // Where nobody can say it, it is asked once more.
    !matches!(asked, Ok(Some(at)) if at < Utc::now() - MAY_COME)
}

/// What differs from what the channel took last. Where an attempt before this one ended without a word, all of it: what
/// that one has sent stands in no journal, and the unit may be back at what the channel took before.
fn needs(job: &Job, payload: &ListingPayload) -> Vec<Section> {
    if job.takes_over { payload.sections.keys().copied().collect() } else { job.listing.to_send(&payload.hashes()) }
}

/// To look for the listing now would tell nothing.
fn too_early(until: DateTime<Utc>) -> PushReport {
    let refusal = ListingError::CreationUnderWay { until };
    PushReport { retry_at: Some(until), ..without_calls(OutcomeClass::Stopped, refusal.to_string()) }
}

fn without_calls(class: OutcomeClass, detail: String) -> PushReport {
    PushReport {
        class,
        detail: Some(detail),
        progress: Progress::default(),
        rejected: Vec::new(),
        calls: Vec::new(),
        retry_at: None,
        credentials_refused: false,
        new_secret_refused: None,
    }
}
