//! What happened to a listing, from the journal: each event a sentence, each attempt with its calls.

use adapters::event_store::StoredEvent;
use domain::counted::{agreeing, counted};
use domain::ids::SyncId;
use domain::listing::{ListingEvent, SyncAttempt, SyncRequest};
use domain::outcome::OutcomeClass;
use domain::recorded::ChannelEvent;
use domain::target::TargetEvent;
use maud::{Markup, html};
use uuid::Uuid;

use crate::config::TraceUrl;
use crate::dashboard::calls::brief;
use crate::dashboard::pieces::{empty, moment, span, state, sync_link, words};
use crate::dashboard::traces::trace;
use crate::views::by::by;
use crate::views::history::EndWithTarget;
use crate::views::not_taken::{became, counts};

/// The newest first. `most` is how many were asked for; `end` is how the listing ended with its target, and whether that is told among them.
pub(super) fn show(
    listing: Uuid,
    stored: &[StoredEvent],
    most: i64,
    (end, is_told): (Option<&EndWithTarget>, bool),
    traces: Option<&TraceUrl>,
) -> Markup {
    let more = stored.last().filter(|last| last.sequence > 1 && i64::try_from(stored.len()).is_ok_and(|n| n == most));
    if stored.is_empty() {
        return empty("Nothing before this", "This is where its history begins.");
    }
    let mut entries: Vec<Markup> = stored.iter().map(|event| entry(listing, event, end, traces)).collect();
    let oldest = stored.last().map_or(0, |last| last.position);
    if let Some(end) = end.filter(|end| is_told && (more.is_none() || end.deletion.position > oldest)) {
        entries.insert(stored.partition_point(|event| event.position > end.deletion.position), ended(end, traces));
    }
    html! {
        // What comes live is announced here: it would push down what one reads.
        p.news role="status" {}
        ol.timeline { @for entry in &entries { (entry) } }
        @if let Some(last) = more {
            p.pager { a.button href=(format!("/listings/{listing}?before={}", last.sequence)) rel="next" { "Older events" } }
        }
    }
}

fn entry(listing: Uuid, stored: &StoredEvent, end: Option<&EndWithTarget>, traces: Option<&TraceUrl>) -> Markup {
    let mut event = ChannelEvent::from_stored(&stored.aggregate_type, &stored.event_type, stored.payload.get());
    if let (Ok(ChannelEvent::Listing(event)), Some(end)) = (&mut event, end) {
        end.as_audited(stored.position, event);
    }
    html! {
        li #(format!("event-{}", stored.sequence)) {
            (when(stored))
            @match &event {
                Ok(ChannelEvent::Listing(event)) => (told(event)),
                _ => p { (stored.event_type) " " span.quiet { "which this build cannot read" } },
            }
            p.quiet {
                a href=(format!("/listings/{listing}/at/{}", stored.sequence)) { "State after event " (stored.sequence) }
                @if let Some(traceparent) = traceparent(stored) { " · trace " (trace(traces, &traceparent)) }
            }
        }
    }
}

fn when(stored: &StoredEvent) -> Markup {
    let by = stored.beside().map(|beside| by(&beside)).unwrap_or_default();
    html! { p.when { (moment(stored.recorded_at)) " " span.quiet { "by " (by) } } }
}

fn traceparent(stored: &StoredEvent) -> Option<String> {
    stored.beside().ok()?.traceparent
}

/// The deletion of the target, which is no event of the listing.
fn ended(end: &EndWithTarget, traces: Option<&TraceUrl>) -> Markup {
    let deletion = &end.deletion;
    let event = ChannelEvent::from_stored(&deletion.aggregate_type, &deletion.event_type, deletion.payload.get());
    html! {
        li #event-target-deleted {
            (when(deletion))
            p { "Its target was deleted" @if let Ok(ChannelEvent::Target(TargetEvent::TargetDeleted { reason })) = &event { ": " (reason) } }
            @for sync in &end.cancelled { (is_cancelled(*sync)) }
            @if let Some(traceparent) = traceparent(deletion) { p.quiet { "trace " (trace(traces, &traceparent)) } }
        }
    }
}

fn is_cancelled(sync: SyncId) -> Markup {
    html! { p.quiet { "Sync " (sync_link(sync.0)) " is cancelled." } }
}

/// An event as a sentence.
pub(super) fn told(event: &ListingEvent) -> Markup {
    match event {
        ListingEvent::ListingLinked { external_id, generation, from_account_id, .. } => html! { p {
            "Linked" @if *generation > 1 { " again (" (generation) ". time)" }
            @if let Some(id) = external_id { " to listing " (id) " at the channel" }
            @if let Some(account) = from_account_id { ", as a unit of account " (account) }
        } },
        ListingEvent::SyncRequested { request, supersedes } => html! {
            (request_told("Sync asked for", request))
            @if let Some(before) = supersedes { p.quiet { "It takes the place of " (sync_link(before.0)) ", which had not ended: the latest wins." } }
        },
        ListingEvent::SyncSkipped { request } => html! {
            (request_told("Nothing to send", request))
            p.quiet { "It is what was sent last." }
        },
        ListingEvent::CreationStarted { sync_id, .. } => {
            html! { p { "About to be created at the channel by " (sync_link(sync_id.0)) } }
        }
        ListingEvent::SyncAccepted { attempt } => {
            attempt_told(if attempt.rejected.is_empty() { "accepted" } else { "accepted_with_rejections" }, attempt)
        }
        ListingEvent::SyncFoundUnchanged { attempt } => attempt_told("skipped_unchanged", attempt),
        ListingEvent::SyncDeferred { attempt, class, due_at } => html! {
            (attempt_told(attempt.class(*class).as_str(), attempt))
            @if *class == OutcomeClass::Unauthorised {
                p { "It is tried again when the target has credentials that the channel takes; no attempt was used." }
            } @else {
                p { "Due again at " (moment(*due_at)) ", " (attempt.attempt) " of 5 attempts " (agreeing(attempt.attempt, "is", "are")) " used." }
            }
        },
        ListingEvent::SyncFailed { attempt, class } | ListingEvent::SupersededSyncFailed { attempt, class } => html! {
            (attempt_told(attempt.class(*class).as_str(), attempt))
            p { "It ended without success." }
        },
        ListingEvent::LateAttemptRecorded { attempt, class } => html! {
            (attempt_told(class.map_or("late", |class| attempt.class(class).as_str()), attempt))
            p.quiet { "Told late: the sync had ended before that." }
        },
        ListingEvent::ListingPaused { reason } => html! { p { "Paused: " (reason) } },
        ListingEvent::ListingResumed {} => html! { p { "Resumed" } },
        ListingEvent::ListingUnlinked { reason, cancels } => html! {
            p { "Unlinked: " (reason) }
            @if let Some(sync) = cancels { (is_cancelled(*sync)) }
        },
    }
}

fn request_told(what: &str, request: &SyncRequest) -> Markup {
    let needs: Vec<&str> = request.needs.iter().map(|section| section.as_str()).collect();
    let reason = match &request.cause {
        domain::listing::Cause::Manual { reason, .. } | domain::listing::Cause::Replayed { reason, .. } => Some(reason),
        _ => None,
    };
    html! {
        p { strong { (what) } " " (sync_link(request.sync_id.0)) " as " (words(request.cause.as_str())) ", revision " (request.revision) }
        @if let Some(reason) = reason { p { "“" (reason) "”" } }
        @if !needs.is_empty() { p.quiet { "Sections to send: " (needs.join(", ")) } }
    }
}

fn attempt_told(class: &str, attempt: &SyncAttempt) -> Markup {
    let took = (attempt.finished_at - attempt.started_at).num_milliseconds();
    html! {
        p { (state(class)) " " (sync_link(attempt.sync_id.0)) " took " (span(took)) ", " (counted(attempt.calls.len(), "call")) }
        @if let Some(detail) = &attempt.detail { p.words { (detail) } }
        @if !attempt.calls.is_empty() { details { summary { "Calls" } (brief(attempt.calls.iter().map(Into::into))) } }
        @if !attempt.rejected.is_empty() {
            @let is_refused = class == OutcomeClass::Rejected.as_str();
            details { summary { (counts(&attempt.rejected, is_refused, (" was", " were"))) }
                ul { @for part in &attempt.rejected { li { (part.section) " " (became(part, is_refused)) ": " (part.reason) } } }
            }
        }
    }
}
