//! How a try ended, as the journal and the log are told, and when the next attempt is due, which is decided here by the class.

use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::listing::{ListingError, Progress, SyncReport};
use domain::outcome::OutcomeClass;
use domain::port::PushReport;
use domain::retry::doubled;

use super::Shared;
use super::job::Job;
use super::learned;
use crate::commands::CommandError;
use crate::stopping::Stopping;

/// How long a listing waits that is held back while nobody names a time.
const HELD_BACK_WAIT: TimeDelta = TimeDelta::seconds(1);
/// The wait before an outcome is written again; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How often it is still tried when the service is to stop: some 15 s.
const TRIES_AFTER_STOP: u32 = 12;
/// And for how long, where a try takes its time.
const AFTER_STOP: Duration = Duration::from_secs(20);

/// What became of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is in the journal, or the listing had no use for it.
    Written,
    /// The journal does not know its job: it was put back to an earlier state.
    OfLostJob,
    /// It cannot be written here, or was not before the stop.
    Nowhere,
}

/// What an engineer looks for in the log: every push that did not simply succeed. The span around it names listing and unit.
pub(super) fn log(job: &Job, report: &PushReport) {
    let target_name = &job.target.name;
    let (class, calls, detail) = (report.class.as_str(), report.calls.len(), report.detail.as_deref().unwrap_or(""));
    if report.class.succeeded() {
        tracing::debug!(target_name, class, calls, "pushed");
    } else if report.class.is_failure() {
        tracing::warn!(target_name, class, calls, detail, "a push failed");
    } else {
        tracing::info!(target_name, class, calls, detail, "a push was held back");
    }
}

pub(super) fn sync_report(
    shared: &Shared,
    job: &Job,
    started_at: DateTime<Utc>,
    ended: Option<PushReport>,
) -> SyncReport {
    let now = Utc::now();
    let mut told = SyncReport {
        sync_id: job.pending.sync_id,
        ordinal: job.pending.ordinal,
        takes_over: job.takes_over,
        silent: job.silent,
        started_at,
        finished_at: now,
        class: None,
        detail: None,
        progress: Progress::default(),
        rejected: Vec::new(),
        calls: Vec::new(),
        hopeless: false,
        retry_at: now,
        max_attempts: shared.options.retry.max_attempts,
    };
    if let Some(report) = ended {
        told.class = Some(report.class);
        told.retry_at = match report.class {
            OutcomeClass::Throttled | OutcomeClass::Stopped => report.retry_at.unwrap_or(now + HELD_BACK_WAIT),
            OutcomeClass::Unauthorised => now,
            _ => shared.options.retry.due_at(now, job.pending.attempts + 1, rand::random(), report.retry_at),
        };
        // Refused credentials heal when they change; a refusal of one listing does not.
        told.hopeless = report.class == OutcomeClass::Unauthorised && !report.credentials_refused;
        told.detail = report.detail;
        told.progress = report.progress;
        told.rejected = report.rejected;
        told.calls = report.calls;
    }
    told
}

/// Writes the outcome down, however long that takes: the calls were made, so they must be told. Gives up where it can
/// never be written here, and a while after a stop; what is not told is done again by whoever comes next.
pub(super) async fn record(shared: &Shared, job: &Job, report: SyncReport, stopping: &Stopping) -> Told {
    let listing_id = job.link.listing_id;
    let (mut failures, mut tries_after_stop, mut asked) = (0_u32, 0, None);
    // A try may take long, as where it has to be found who holds an id.
    let mut long_after_stop = pin!(async {
        stopping.asked.cancelled().await;
        tokio::time::sleep(AFTER_STOP).await;
    });
    while tries_after_stop < TRIES_AFTER_STOP {
        tries_after_stop += u32::from(stopping.asked.is_cancelled());
        let written = tokio::select! {
            written = learned::record(shared, job, report.clone(), &mut asked) => written,
            () = stopping.in_vain.cancelled() => break,
            () = &mut long_after_stop => break,
        };
        match written {
            Ok(()) => return Told::Written,
            // Of a listing that it has lost as a whole it says that there is none.
            Err(CommandError::Refused(ListingError::NotPending(_) | ListingError::NotFound)) => {
                let sync_id = job.pending.sync_id;
                tracing::error!(%listing_id, %sync_id, ?report, "an outcome is lost: the journal has lost its sync");
                return Told::OfLostJob;
            }
            Err(CommandError::Refused(refusal)) => {
                tracing::error!(%listing_id, %refusal, "an outcome was refused");
                return Told::Written;
            }
            Err(CommandError::Unreadable(error)) => {
                tracing::error!(%listing_id, error, ?report, "an outcome is lost: a newer build wrote to its listing");
                return Told::Nowhere;
            }
            Err(error) => {
                tracing::warn!(%listing_id, %error, "failed to record an outcome");
                failures = failures.saturating_add(1);
                tokio::time::sleep(doubled(FIRST_WAIT, LONGEST_WAIT, failures)).await;
            }
        }
    }
    tracing::error!(%listing_id, ?report, "an outcome could not be recorded before the stop");
    Told::Nowhere
}

/// The log alone is told of a push that was cut because nothing could be written down any more: what of it arrived, the
/// next one finds out at the channel.
pub(super) fn log_cut(job: &Job) {
    let (listing_id, sync_id) = (job.link.listing_id, job.pending.sync_id);
    tracing::error!(%listing_id, %sync_id, "a push was cut: an outcome could not be recorded before the stop");
}
