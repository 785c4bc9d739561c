//! What each event does to the row of its listing. It follows the aggregate's own `evolve`.

use domain::ids::SyncId;
use domain::listing::{LinkState, ListingEvent, SyncAttempt, SyncRequest};
use domain::outcome::SyncOutcome;
use domain::recorded::{ChannelEvent, Recorded};

use super::refused;
use super::rows::ListingRow;
use crate::column::{bigint, integer, rejected_json};
use crate::error::Error;
use crate::sequence::is_next;
use crate::working::{Changes, Working};

pub(super) fn fold(
    projection: &'static str,
    mut rows: Working<ListingRow>,
    events: &[&Recorded],
) -> Result<Changes<ListingRow>, Error> {
    for event in events {
        let version = rows.get(event.aggregate_id).map_or(0, |row| row.version);
        let ChannelEvent::Listing(what) = &event.event else { continue };
        if !is_next(projection, event, version)? {
            continue;
        }
        if let Some(row) = linked(event, what) {
            rows.put(event.aggregate_id, row);
        } else if let Some(row) = rows.change(event.aggregate_id) {
            change(row, what);
            row.version = event.sequence;
            row.updated_at = event.recorded_at;
            row.position = event.position.0;
        }
    }
    Ok(rows.into_changes())
}

/// A link starts over, the first one and every later one.
fn linked(event: &Recorded, what: &ListingEvent) -> Option<ListingRow> {
    let ListingEvent::ListingLinked {
        listing_id,
        org_id,
        account_id,
        unit_id,
        target_id,
        external_id,
        generation,
        from_account_id,
    } = what
    else {
        return None;
    };
    Some(ListingRow {
        listing_id: listing_id.0,
        org_id: org_id.to_string(),
        account_id: account_id.to_string(),
        from_account_id: from_account_id.as_ref().map(ToString::to_string),
        unit_id: unit_id.to_string(),
        target_id: target_id.0,
        state: LinkState::Active.as_str().to_owned(),
        generation: integer(*generation),
        external_id: external_id.as_ref().map(ToString::to_string),
        revision: None,
        snapshot: None,
        accepted_snapshot: None,
        pending_sync_id: None,
        last_sync_id: None,
        last_outcome: None,
        last_detail: None,
        rejected: rejected_json(&[]),
        linked_by: event.metadata.actor.name.clone(),
        linked_at: event.recorded_at,
        last_accepted_at: None,
        version: event.sequence,
        updated_at: event.recorded_at,
        position: event.position.0,
    })
}

fn change(row: &mut ListingRow, what: &ListingEvent) {
    match what {
        ListingEvent::ListingLinked { .. } | ListingEvent::CreationStarted { .. } => {}
        ListingEvent::SyncRequested { request, .. } => {
            take_request(row, request);
            row.pending_sync_id = Some(request.sync_id.0);
        }
        ListingEvent::SyncSkipped { request } => {
            take_request(row, request);
            row.accepted_snapshot.clone_from(&row.snapshot);
            end(row, request.sync_id, SyncOutcome::SkippedUnchanged, None);
        }
        ListingEvent::SyncAccepted { attempt } => {
            row.last_accepted_at = row.last_accepted_at.max(Some(attempt.finished_at));
            succeed(row, attempt, attempt.accepted_class().final_outcome());
        }
        ListingEvent::SyncFoundUnchanged { attempt } => succeed(row, attempt, SyncOutcome::SkippedUnchanged),
        ListingEvent::SyncFailed { attempt, class } => {
            learn_external_id(row, attempt);
            end_attempt(row, attempt, class.final_outcome());
            if row.pending_sync_id == Some(attempt.sync_id.0) {
                row.pending_sync_id = None;
            }
        }
        ListingEvent::SyncDeferred { attempt, .. } | ListingEvent::SupersededSyncFailed { attempt, .. } => {
            learn_external_id(row, attempt);
            refused::take_attempt(row, attempt);
        }
        ListingEvent::LateAttemptRecorded { attempt, .. } => {
            if row.external_id.is_none() {
                learn_external_id(row, attempt);
            }
        }
        ListingEvent::ListingPaused { .. } => set_state(row, LinkState::Paused),
        ListingEvent::ListingResumed {} => set_state(row, LinkState::Active),
        ListingEvent::ListingUnlinked { reason, cancels } => {
            set_state(row, LinkState::Unlinked);
            row.pending_sync_id = None;
            if let Some(sync_id) = cancels {
                end(row, *sync_id, SyncOutcome::Cancelled, Some(reason));
            }
        }
    }
}

fn take_request(row: &mut ListingRow, request: &SyncRequest) {
    row.revision = Some(bigint(request.revision));
    row.snapshot = Some(request.snapshot.as_bytes().to_vec());
    refused::take_mapping(row, &request.rejected);
}

fn succeed(row: &mut ListingRow, attempt: &SyncAttempt, outcome: SyncOutcome) {
    learn_external_id(row, attempt);
    end_attempt(row, attempt, outcome);
    if row.pending_sync_id == Some(attempt.sync_id.0) {
        row.pending_sync_id = None;
        row.accepted_snapshot.clone_from(&row.snapshot);
    }
}

fn end_attempt(row: &mut ListingRow, attempt: &SyncAttempt, outcome: SyncOutcome) {
    refused::take_attempt(row, attempt);
    end(row, attempt.sync_id, outcome, attempt.detail.as_ref());
}

fn end(row: &mut ListingRow, sync_id: SyncId, outcome: SyncOutcome, detail: Option<&String>) {
    row.last_sync_id = Some(sync_id.0);
    row.last_outcome = Some(outcome.as_str().to_owned());
    row.last_detail = detail.cloned();
}

fn learn_external_id(row: &mut ListingRow, attempt: &SyncAttempt) {
    if let Some(id) = &attempt.progress.external_id {
        row.external_id = Some(id.to_string());
    }
}

fn set_state(row: &mut ListingRow, state: LinkState) {
    state.as_str().clone_into(&mut row.state);
}
