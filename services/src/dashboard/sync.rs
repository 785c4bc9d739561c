//! One sync: why, what, by whom, every call, and how it ended.

use axum::extract::State;
use axum::response::Response;
use domain::access::Permission;
use domain::ids::{ListingId, SyncId};
use maud::{Markup, html};
use uuid::Uuid;

use super::difference;
use super::layout::{Page, Viewer};
use super::live::Part;
use super::pieces::{empty, moment, moment_or, span, state, sync_link, words};
use crate::api::Api;
use crate::api::audit::{SyncWithCalls, get};
use crate::api::by::By;
use crate::api::input::Id;
use crate::api::problem::Problem;
use crate::views::audit::{Call, Sync};
use crate::views::explain::explain;

/// The page.
pub(super) async fn page(State(api): State<Api>, viewer: Viewer, Id(id): Id<Uuid>) -> Result<Response, Problem> {
    let found = get(State(api.clone()), viewer.by.clone(), Id(id)).await?.0;
    let sync = &found.sync;
    let parts = parts(&api, &viewer.by, &found).await?;
    let unit = sync.unit_id.as_deref().unwrap_or("listing");
    let body = html! {
        p.trail { a href=(format!("/listings/{}", sync.listing_id)) { (unit) } " / " a href="/audit" { "Audit" } }
        h1 { "Sync of " (unit) " " span.quiet { "revision " (sync.revision) } }
        @for part in &parts { (part.section()) }
    };
    Ok(Page { title: &format!("Sync of {unit}"), place: "/audit", topic: Some(format!("sync:{id}")), body }
        .show(&viewer))
}

/// What of it is live.
pub(super) async fn parts(api: &Api, by: &By, found: &SyncWithCalls) -> Result<Vec<Part>, Problem> {
    let (listing, sync) = (ListingId(found.sync.listing_id), SyncId(found.sync.sync_id));
    // The audit is for more people than the listings are.
    let explained = if by.caller.may(Permission::ReadListings) {
        Some(explain(api.syncing(), api.pool(), listing, Some(sync)).await?)
    } else {
        None
    };
    let mut parts = vec![Part::new("facts", "What and why", facts(&found.sync))];
    if let Some(explained) = &explained {
        // What is indented are fields and calls, which have tables of their own.
        let lines = explained.words.iter().filter(|line| !line.starts_with(' '));
        let told = html! { ol.rows { @for line in lines { li.told { (line) } } } };
        let differs = explained.sync.as_ref().map(difference::of_sync).unwrap_or_default();
        parts.push(Part::new(
            "difference",
            "What it sends, field by field, against what the channel took before",
            differs,
        ));
        parts.push(Part::new("words", "In plain words", told));
    }
    parts.extend([Part::new("calls", "Calls, with what was answered", calls(&found.attempts_made))]);
    Ok(parts)
}

/// The trace id of a traceparent.
pub(super) fn trace_id(traceparent: &str) -> &str {
    traceparent.split('-').nth(1).unwrap_or(traceparent)
}

fn facts(sync: &Sync) -> Markup {
    html! { dl.facts {
        div { dt { "Outcome" } dd { (state(&sync.outcome)) } }
        div { dt { "Target" } dd { a href=(format!("/targets/{}", sync.target_id)) { (sync.target_name.as_deref().unwrap_or("target")) } } }
        div { dt { "Because" } dd { (words(&sync.cause)) @if let Some(reason) = &sync.reason { ": “" (reason) "”" } } }
        div { dt { "Asked for" } dd { (moment(sync.requested_at)) " by " (sync.created_by) } }
        div { dt { "First attempt" } dd { (moment_or(sync.first_attempt_at, "not yet")) } }
        @if let Some(at) = sync.next_attempt_at.filter(|_| sync.finished_at.is_none()) { div { dt { "Next attempt" } dd { (moment(at)) } } }
        div { dt { "Ended" } dd {
            (moment_or(sync.finished_at, "not yet"))
            @if let Some(end) = sync.finished_at { " " span.quiet { "after " (span((end - sync.requested_at).num_milliseconds())) } }
        } }
        div { dt { "Attempts used" } dd { (sync.attempts) " of 5" } }
        div { dt { "Sections" } dd { @if sync.needs.is_empty() { "none" } @else { (sync.needs.join(", ")) } } }
        @if let Some(class) = &sync.class { div { dt { "Last attempt" } dd { (state(class)) } } }
        @if let Some(later) = sync.superseded_by { div { dt { "Its place took" } dd { (sync_link(later)) } } }
        @if let Some(detail) = &sync.detail { div.whole { dt { "In the channel's words" } dd { (detail) } } }
        div.whole { dt { "Sync id" } dd { code { (sync.sync_id) } } }
        @if let Some(trace) = &sync.traceparent { div.whole { dt { "Trace id" } dd { code { (trace_id(trace)) } } } }
        div.whole { dt { "Snapshot" } dd { code { (sync.snapshot) } } }
    } }
}

fn calls(calls: &[Call]) -> Markup {
    if calls.is_empty() {
        return empty("No call was made", "It waits, or there was nothing to send.");
    }
    html! { div.scroll tabindex="0" { table {
        thead { tr { th { "Started" } th { "Try" } th { "For" } th { "Request" } th { "Answer" } th.number { "Took" } th { "Request id" } } }
        tbody { @for call in calls { tr {
            td { (moment(call.started_at)) }
            td.number { (call.attempt) }
            td { (words(&call.purpose)) }
            td { code { (call.method) " " (call.path) } }
            td { @if let Some(status) = call.status { (status) " " } (state(&call.class)) @if let Some(detail) = &call.detail { " " span.words { (detail) } } }
            td.number { (span(call.duration_ms)) }
            td { code { (call.request_id) } }
        } } }
    } } }
}
