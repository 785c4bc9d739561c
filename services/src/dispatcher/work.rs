//! One try at one listing: read it from the journal, push what differs, record what came of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters::dispatch::{FinishedTry, Lease};
use chrono::{DateTime, TimeDelta, Utc};
use domain::listing::{ChannelListing, Link, LinkState, ListingCommand, Pending, Progress, SyncReport};
use domain::metadata::{Actor, Metadata};
use domain::outcome::OutcomeClass;
use domain::port::{Push, PushReport};
use domain::target::{Health, Lifecycle, Settings};
use tokio::sync::mpsc;

use super::host::Host;
use super::message::{Granted, Message};
use super::{Shared, health};
use crate::commands::CommandError;
use crate::payloads::PayloadError;

/// How long a listing that cannot be worked on now is kept before it is given back.
const HELD_FOR: Duration = Duration::from_secs(1);

/// What a try works on.
struct Job {
    link: Link,
    pending: Pending,
    listing: ChannelListing,
    target: Settings,
    metadata: Metadata,
}

/// Works on a leased listing. Whatever happens, the lease and the first slot find their way back to the gate.
pub(super) async fn work(shared: Arc<Shared>, lease: Lease, first: Granted, gate: mpsc::UnboundedSender<Message>) {
    let job = match read(&shared, lease).await {
        Ok(Found::Job(job)) => job,
        Ok(Found::Nothing) => {
            // The queue row was stale, and the projector is about to take it away.
            let _ = gate.send(Message::Unused(first.hold));
            let _ = gate.send(Message::Finished(FinishedTry { lease, ordinal: lease.ordinal }));
            return;
        }
        Ok(Found::Held) => {
            let _ = gate.send(Message::Unused(first.hold));
            // Until the read models show it, the gate would find the listing due again and again.
            tokio::time::sleep(HELD_FOR).await;
            let _ = gate.send(Message::Released(lease));
            return;
        }
        Err(error) => {
            tracing::warn!(listing_id = %lease.listing_id, error, "a listing could not be read; it is tried again");
            let _ = gate.send(Message::Unused(first.hold));
            tokio::time::sleep(HELD_FOR).await;
            let _ = gate.send(Message::Released(lease));
            return;
        }
    };
    let host = Host {
        gate: gate.clone(),
        commands: &shared.commands,
        target: &job.target,
        egress: &shared.options.egress,
        listing_id: lease.listing_id,
        sync_id: job.pending.sync_id,
        metadata: &job.metadata,
        first: Mutex::new(Some(first)),
        intent: Mutex::new(None),
    };
    let started_at = Utc::now();
    let attempt = attempt(&shared, &job, &host).await;
    host.give_back();
    let ended = match attempt {
        Attempt::Postponed(reason) => {
            tracing::debug!(listing_id = %lease.listing_id, reason, "a sync is postponed");
            let _ = gate.send(Message::Released(lease));
            return;
        }
        Attempt::Unchanged => None,
        Attempt::Pushed(report) => Some(report),
    };
    if let Some(report) = &ended {
        log(&job, report);
        health::report(&shared, &job.target, &job.metadata, report).await;
    }
    let report = sync_report(&shared, &job, started_at, ended);
    record(&shared, lease, &job, report).await;
    let _ = gate.send(Message::Finished(FinishedTry {
        lease,
        ordinal: i64::try_from(job.pending.ordinal).unwrap_or(i64::MAX),
    }));
}

/// What the journal says of a leased listing.
enum Found {
    /// There is something to send.
    Job(Box<Job>),
    /// There is nothing to send.
    Nothing,
    /// There is, but the listing or its target was paused, or refused, a moment ago.
    Held,
}

async fn read(shared: &Shared, lease: Lease) -> Result<Found, String> {
    let listing = shared.commands.load_listing(lease.listing_id).await.map_err(|e| e.to_string())?;
    let (Some(link), Some(state), Some(pending)) = (listing.link(), listing.state(), listing.pending()) else {
        return Ok(Found::Nothing);
    };
    if state != LinkState::Active {
        return Ok(Found::Held);
    }
    let target = shared.commands.load_target(link.target_id).await.map_err(|e| e.to_string())?;
    let Ok(settings) = target.live() else { return Ok(Found::Nothing) };
    if settings.lifecycle != Lifecycle::Active || settings.health == Health::Unauthorised {
        return Ok(Found::Held);
    }
    let metadata = Metadata {
        org_id: link.org_id.clone(),
        account_id: link.account_id.clone(),
        target_id: link.target_id,
        unit_id: Some(link.unit_id.clone()),
        actor: Actor::service("dispatcher"),
        correlation_id: pending.origin.correlation_id,
        causation_id: Some(pending.sync_id.0),
        traceparent: pending.origin.traceparent.clone(),
        on_behalf_of: Some(pending.origin.requested_by.clone()),
    };
    let (link, pending, target) = (link.clone(), pending.clone(), settings.clone());
    Ok(Found::Job(Box::new(Job { link, pending, listing, target, metadata })))
}

enum Attempt {
    /// Nothing differs.
    Unchanged,
    /// Something was sent, or tried to.
    Pushed(PushReport),
    /// Nothing happened that the journal should know of.
    Postponed(String),
}

/// What an engineer looks for in the log: every push that did not simply succeed.
fn log(job: &Job, report: &PushReport) {
    let (listing_id, target, unit) = (job.link.listing_id, &job.target.name, &job.link.unit_id);
    let (class, calls, detail) = (report.class.as_str(), report.calls.len(), report.detail.as_deref().unwrap_or(""));
    if report.class.succeeded() {
        tracing::debug!(%listing_id, target, %unit, class, calls, "pushed");
    } else if report.class == OutcomeClass::Throttled {
        tracing::info!(%listing_id, target, %unit, class, calls, detail, "a push was held back");
    } else {
        tracing::warn!(%listing_id, target, %unit, class, calls, detail, "a push failed");
    }
}

async fn attempt(shared: &Shared, job: &Job, host: &Host<'_>) -> Attempt {
    let (kind, snapshot) = (job.target.channel, job.pending.snapshot);
    let payload = match shared.payloads.of_snapshot(kind, snapshot, job.link.listing_id).await {
        Ok(payload) => payload,
        Err(PayloadError::Store(error)) => {
            tokio::time::sleep(HELD_FOR).await;
            return Attempt::Postponed(error.to_string());
        }
        Err(error) => return Attempt::Pushed(unusable(&error)),
    };
    let needs = job.listing.to_send(&payload.hashes());
    if needs.is_empty() {
        return Attempt::Unchanged;
    }
    let push = Push {
        target: &job.target,
        listing_id: job.link.listing_id,
        unit_id: &job.link.unit_id,
        external_id: job.listing.external_id(),
        payload: &payload,
        needs: &needs,
        verify_first: job.pending.verify_first,
    };
    let mut report = shared.channels.of(kind).push(push, host).await;
    if report.class == OutcomeClass::Throttled
        && report.calls.is_empty()
        && report.retry_at.is_none_or(|at| at <= Utc::now())
    {
        return Attempt::Postponed(report.detail.unwrap_or_default());
    }
    // What the mapping left out of the sections that were sent is refused as much as what the channel refused.
    let left_out = payload.rejected.iter().filter(|part| needs.contains(&part.section));
    report.rejected.extend(left_out.cloned());
    if report.class == OutcomeClass::Accepted && !report.rejected.is_empty() {
        report.class = OutcomeClass::AcceptedWithRejections;
    }
    Attempt::Pushed(report)
}

fn unusable(error: &PayloadError) -> PushReport {
    PushReport {
        class: OutcomeClass::Rejected,
        detail: Some(error.to_string()),
        progress: Progress::default(),
        rejected: Vec::new(),
        calls: Vec::new(),
        retry_at: None,
        credentials_refused: false,
    }
}

fn sync_report(shared: &Shared, job: &Job, started_at: DateTime<Utc>, ended: Option<PushReport>) -> SyncReport {
    let now = Utc::now();
    let (mut class, mut retry_at, mut hopeless) = (None, now, false);
    let mut told = SyncReport {
        sync_id: job.pending.sync_id,
        ordinal: job.pending.ordinal,
        started_at,
        finished_at: now,
        class,
        detail: None,
        progress: Progress::default(),
        rejected: Vec::new(),
        calls: Vec::new(),
        hopeless,
        retry_at,
        max_attempts: shared.options.retry.max_attempts,
    };
    if let Some(report) = ended {
        class = Some(report.class);
        retry_at = match report.class {
            OutcomeClass::Throttled => report.retry_at.unwrap_or(now + TimeDelta::seconds(1)),
            OutcomeClass::Unauthorised => now,
            _ => shared.options.retry.due_at(now, job.pending.attempts + 1, rand::random(), report.retry_at),
        };
        // Refused credentials heal when they change; a refusal of one listing does not.
        hopeless = report.class == OutcomeClass::Unauthorised && !report.credentials_refused;
        told.detail = report.detail;
        told.progress = report.progress;
        told.rejected = report.rejected;
        told.calls = report.calls;
    }
    SyncReport { class, retry_at, hopeless, ..told }
}

/// Writes the outcome down, however long that takes: the calls were made, so they must be told.
async fn record(shared: &Shared, lease: Lease, job: &Job, report: SyncReport) {
    let mut wait = Duration::from_millis(50);
    loop {
        let command = ListingCommand::RecordOutcome(report.clone());
        match shared.commands.listing(lease.listing_id, command, &job.metadata).await {
            Ok(_) => return,
            Err(CommandError::Refused(refusal)) => {
                tracing::error!(listing_id = %lease.listing_id, refusal = %refusal, "an outcome was refused");
                return;
            }
            Err(error) => {
                tracing::warn!(listing_id = %lease.listing_id, error = %error, "failed to record an outcome");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
        }
    }
}
