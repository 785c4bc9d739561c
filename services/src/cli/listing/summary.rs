//! A listing's event in a few words.

use domain::counted::counted;
use domain::ids::SyncId;
use domain::listing::{Cause, ListingEvent, SyncAttempt, SyncRequest};
use domain::outcome::OutcomeClass;

use crate::cli::times::moment;
use crate::views::not_taken::counts;

pub(super) fn summary(event: &ListingEvent) -> String {
    match event {
        ListingEvent::ListingLinked { unit_id, target_id, generation, external_id, from_account_id, .. } => {
            let known = external_id.as_ref().map(|id| format!(", at the channel {id}")).unwrap_or_default();
            let again = if *generation > 1 { format!(", time {generation}") } else { String::new() };
            let from = from_account_id.as_ref().map(|id| format!(", a unit of account {id}")).unwrap_or_default();
            format!("{unit_id} on {target_id}{known}{again}{from}")
        }
        ListingEvent::SyncRequested { request, supersedes } => {
            let instead = if supersedes.is_some() { ", instead of the one before" } else { "" };
            format!("{}{instead}", requested(request))
        }
        ListingEvent::SyncSkipped { request } => format!("{}: the channel has it already", requested(request)),
        ListingEvent::CreationStarted { sync_id, .. } => format!("sync {sync_id}"),
        ListingEvent::SyncAccepted { attempt } => attempted(attempt, "accepted"),
        ListingEvent::SyncFoundUnchanged { attempt } => attempted(attempt, "nothing differed"),
        ListingEvent::SyncDeferred { attempt, class, due_at } => {
            attempted(attempt, &format!("{}, due again {}", attempt.class(*class), moment(*due_at)))
        }
        ListingEvent::SyncFailed { attempt, class } => {
            attempted_as(attempt, attempt.class(*class).as_str(), *class == OutcomeClass::Rejected)
        }
        ListingEvent::SupersededSyncFailed { attempt, class } => {
            let how = format!("{}, but a later one goes on", attempt.class(*class));
            attempted_as(attempt, &how, *class == OutcomeClass::Rejected)
        }
        ListingEvent::LateAttemptRecorded { attempt, .. } => attempted(attempt, "late: the sync had ended"),
        ListingEvent::ListingPaused { reason } => reason.clone(),
        ListingEvent::ListingUnlinked { reason, cancels } => cancelling(cancels.as_slice(), reason),
        ListingEvent::ListingResumed {} => String::new(),
    }
}

/// What cancels these syncs, and why it was done.
pub(super) fn cancelling(syncs: &[SyncId], reason: &str) -> String {
    let cancelled: Vec<String> = syncs.iter().map(|sync| format!("sync {sync} is cancelled: ")).collect();
    cancelled.concat() + reason
}

fn requested(request: &SyncRequest) -> String {
    let needs: Vec<&str> = request.needs.iter().map(|section| section.as_str()).collect();
    let why = match &request.cause {
        Cause::Manual { reason, .. } | Cause::Replayed { reason, .. } => format!(" ({reason})"),
        Cause::UnitChanged | Cause::Linked => String::new(),
    };
    let cause = request.cause.as_str();
    format!("{cause}{why}, revision {}, needs {}, sync {}", request.revision, listed(&needs), request.sync_id)
}

fn listed(needs: &[&str]) -> String {
    if needs.is_empty() { "nothing".to_owned() } else { needs.join("+") }
}

fn attempted(attempt: &SyncAttempt, how: &str) -> String {
    attempted_as(attempt, how, false)
}

/// `is_refused` where the channel refused it for good.
fn attempted_as(attempt: &SyncAttempt, how: &str, is_refused: bool) -> String {
    let calls = counted(attempt.calls.len(), "call");
    let refused = match counts(&attempt.rejected, is_refused, ("", "")) {
        parts if parts.is_empty() => parts,
        parts => format!(", {parts}"),
    };
    let detail = attempt.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{how}, {calls}{refused}{detail}")
}
