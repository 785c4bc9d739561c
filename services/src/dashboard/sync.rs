//! One sync: why, what, by whom, every call, and how it ended.

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use domain::access::Permission;
use domain::difference::MOST_FIELDS;
use domain::ids::{ListingId, SyncId};
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::calls::{Carried, Shown, whole};
use super::history::{of_listing, of_target};
use super::layout::{Page, Viewer};
use super::live::Part;
use super::pieces::{empty, moment, moment_or, span, state, sync_link, whose_words, words};
use super::ways::Ways;
use super::{Dashboard, difference, listing, pieces, traces};
use crate::api::Api;
use crate::api::audit::{SyncWithCalls, get};
use crate::api::by::By;
use crate::api::input::{Id, Query};
use crate::api::listings;
use crate::api::problem::Problem;
use crate::api::reader::Reader;
use crate::config::TraceUrl;
use crate::views::attempts::{being_made, under_way};
use crate::views::audit::{Call, Sync};
use crate::views::by::with;
use crate::views::explain::{Rule, Told, tell};
use crate::views::requests;

const READ_FIRST: &str =
    "Its body cannot be made again: the channel was read first, and what was left out then is not recorded.";
const OTHER_BUILD: &str =
    "Its body cannot be made again: this build makes other calls of the snapshot than the one that sent it.";

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// `all` for every field that differs, however many.
    fields: Option<String>,
}

/// How many fields of each section are shown that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
    First,
    All,
}

impl Fields {
    fn of(asked: Option<&str>) -> Result<Self, Problem> {
        match asked {
            None => Ok(Self::First),
            Some("all") => Ok(Self::All),
            Some(_) => Err(Problem::field("fields", "is all, or left out")),
        }
    }

    fn most(self) -> usize {
        match self {
            Self::First => MOST_FIELDS,
            Self::All => usize::MAX,
        }
    }
}

/// The page. With all fields it is not live: a sync of which much is looked at has been sent.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let api = &dashboard.api;
    let fields = Fields::of(asked.fields.as_deref())?;
    let found = get(State(api.clone()), viewer.by.clone(), Id(id)).await?.0;
    let sync = &found.sync;
    let parts = parts(&dashboard, &viewer.by, &found, fields).await?;
    let again = sends_again(api, &viewer, sync).await?;
    let unit = sync.unit_id.as_deref().unwrap_or("listing");
    let body = html! {
        p.trail {
            @if viewer.may(Permission::ReadListings) { a href=(format!("/listings/{}", sync.listing_id)) { (unit) } " / " }
            a href="/audit" { "Audit" }
            " / " a href=(of_listing(sync.listing_id)) { "History of the listing" }
            " / " a href=(of_target(sync.target_id)) { "History of the target" }
        }
        h1 { "Sync of " (unit) " " span.quiet { "revision " (sync.revision) } }
        @if again {
            div.actions { (listing::again(&viewer, sync.listing_id, Some(sync.position), ("Send this again…", "Send this state"))) }
        }
        @for part in &parts { (part.section()) }
    };
    let topic = (fields == Fields::First).then(|| format!("sync:{id}"));
    Ok(Page { title: &format!("Sync of {unit}"), place: "/audit", topic, body }.show(&viewer))
}

/// Whether the viewer may send it once more, and the listing takes it.
async fn sends_again(api: &Api, viewer: &Viewer, sync: &Sync) -> Result<bool, Problem> {
    if !viewer.may(Permission::SyncListings) {
        return Ok(false);
    }
    let listing = listings::get(State(api.clone()), viewer.by.clone(), Id(sync.listing_id)).await?.1;
    Ok(["active", "paused"].contains(&listing.state.as_str()))
}

/// What of it is live.
pub(super) async fn parts(
    dashboard: &Dashboard,
    by: &By,
    found: &SyncWithCalls,
    fields: Fields,
) -> Result<Vec<Part>, Problem> {
    let api = &dashboard.api;
    let (listing, sync) = (ListingId(found.sync.listing_id), SyncId(found.sync.sync_id));
    // The audit is for more people than the listings are.
    let told = if by.caller.may(Permission::ReadListings) {
        let reader = Reader::open(api.pool(), &by.caller);
        Some(tell(api.syncing(), api.pool(), reader, listing, Some(sync), fields.most()).await?)
    } else {
        None
    };
    let mut reader = Reader::open(api.pool(), &by.caller).await?;
    let attempt = under_way(&mut reader, listing.0, sync.0).await?;
    drop(reader);
    let goes_on = found.goes_on;
    let may_have_been = |rule: &Rule| matches!(rule, Rule::CoalescedInto { may_have_been_sent: true, .. });
    let may_have_been_sent = told.as_ref().is_some_and(|told| told.explanation.rules.iter().any(may_have_been));
    let first = match (goes_on, may_have_been_sent) {
        (true, _) => "not told yet",
        (false, true) => "not told",
        (false, false) => "not yet",
    };
    let facts = facts(found, (attempt, first), Ways::of(&by.caller), dashboard.trace_url.as_ref());
    let mut parts = vec![Part::new("facts", "What and why", facts)];
    if let Some(Told { explanation: explained, .. }) = &told {
        // What is indented are fields and calls, which are shown beside it.
        let lines = explained.words.iter().filter(|line| !line.starts_with(' '));
        let may_sync = by.caller.may(Permission::SyncListings);
        let words = html! { ol.rows { @for line in lines { li.told { (pieces::told_alone(line, may_sync)) } } } };
        let differs = explained.sync.as_ref().map(difference::of_sync).unwrap_or_default();
        parts.push(Part::new(
            "difference",
            "What it sends, field by field, against what the channel took before",
            differs,
        ));
        parts.push(Part::new("words", "In plain words", words));
    }
    let calls = match found.attempts_made.as_slice() {
        [] if may_have_been_sent && !goes_on => empty(
            "No call is told",
            "An attempt of it had begun, and nobody has told how it ended: it may have been sent.",
        ),
        [] if goes_on || attempt.is_some() => {
            empty("No call is told yet", "An attempt that has begun goes on: its calls are told when it has ended.")
        }
        made => exchanges(api, told.as_ref(), made).await,
    };
    parts.push(Part::new("calls", "Calls, each with its request and its answer", calls));
    Ok(parts)
}

/// The calls with what they carried.
async fn exchanges(api: &Api, told: Option<&Told>, calls: &[Call]) -> Markup {
    if calls.is_empty() {
        // Those who do not see the listing are not told either whether one may have been.
        let title = if told.is_some() { "No call was made" } else { "No call is told" };
        return empty(title, "It waits, or another took its place, or there was nothing to send.");
    }
    let made = match told.and_then(|told| told.story.as_ref().map(|story| (story, told))) {
        Some((story, Told { target, link, .. })) => {
            let made = requests::of_sync(api.syncing().payloads(), target, link, story).await;
            made.map_err(|error| format!("It cannot be made again: {error}."))
        }
        None => Err("Those who may read listings see its body.".to_owned()),
    };
    let carried = |call: &Call| match (&made, call.purpose.as_str(), call.method.as_str()) {
        (_, "token", _) => Carried::Secret,
        (_, _, "GET") => Carried::Nothing,
        (Err(why), ..) => Carried::Unknown(why),
        (Ok(made), ..) => match made.bodies.get(&call.request_id) {
            Some(body) => Carried::Body { body, exact: made.exact },
            None if made.exact => Carried::Unknown(READ_FIRST),
            None => Carried::Unknown(OTHER_BUILD),
        },
    };
    whole(calls.iter().map(|call| (Shown::from(call), carried(call))))
}

/// Of one that `goes_on` although another took its place, nobody knows yet how it ends. `attempt` is the one that is being made, and
/// `first` what is said of a first one that no time is known of.
fn facts(
    found: &SyncWithCalls,
    (attempt, first): (Option<i32>, &str),
    ways: Ways,
    trace_url: Option<&TraceUrl>,
) -> Markup {
    let SyncWithCalls { sync, goes_on, next, .. } = found;
    let goes_on = *goes_on;
    let due = sync.next_attempt_at.filter(|at| sync.finished_at.is_none() && *at > Utc::now());
    let target = sync.target_name.as_deref().unwrap_or("target");
    let made_now = attempt.map(being_made);
    let is_first = sync.first_attempt_at.is_none();
    let by = with(&sync.created_by, Some(&sync.credential), sync.credential_id.as_deref());
    html! { dl.facts {
        div { dt { "Outcome" } dd { (state(&sync.outcome)) } }
        div { dt { "Target" } dd { (ways.target(sync.target_id, target)) } }
        div { dt { "Because" } dd { (words(&sync.cause)) @if let Some(reason) = &sync.reason { ": “" (reason) "”" } } }
        div { dt { "Asked for" } dd { (moment(sync.requested_at)) " by " (by) } }
        div { dt { "First attempt" } dd {
            @if let Some(now) = made_now.as_ref().filter(|_| is_first) { (now) }
            @else { (moment_or(sync.first_attempt_at, first)) }
        } }
        @let ended = sync.finished_at.filter(|_| !goes_on);
        div { dt { "Ended" } dd {
            (moment_or(ended, if goes_on { "not told yet: an attempt that had begun goes on" } else { "not yet" }))
            @if let Some(end) = ended { " " span.quiet { "after " (span((end - sync.requested_at).num_milliseconds())) } }
        } }
        div { dt { "Attempts used" } dd { (sync.attempts) " of 5" } }
        div { dt { "Sections" } dd { @if sync.needs.is_empty() { "none" } @else { (sync.needs.join(", ")) } } }
        @if let Some(class) = &sync.class { div { dt { "Last attempt" } dd { (state(class)) } } }
        @if let Some(later) = sync.gave_way_to() { div { dt { "What took its place" } dd { (sync_link(later)) } } }
        @if let Some(now) = made_now.as_ref() { @if !is_first { div { dt { "Next attempt" } dd { (now) } } } }
        @else if let Some(next) = next { div.whole { dt { "Next attempt" } dd {
            (pieces::told(&next.brief())) @if !next.what_to_do.is_empty() { "." }
            @for sentences in &next.what_to_do { " " (pieces::told(sentences)) }
        } } }
        // Those who do not see what holds it are told of no time that is over.
        @else if let Some(at) = due { div { dt { "Next attempt" } dd { "not before " (moment(at)) } } }
        @if let Some(detail) = &sync.detail { div.whole { dt { (whose_words(Some(sync.outcome.as_str()), Some(detail))) } dd { (detail) } } }
        div.whole { dt { "Sync id" } dd { code.whole { (sync.sync_id) } } }
        @if let Some(trace) = &sync.traceparent { div.whole { dt { "Trace" } dd { (traces::trace(trace_url, trace)) } } }
        div.whole { dt { "Snapshot" } dd { code { (sync.snapshot) } } }
    } }
}
