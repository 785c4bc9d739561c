//! One listing: what it is, what happens next, and everything that happened to it.

mod actions;
mod at;
mod had;
mod known;
mod letters;
mod next;
mod preview;
mod timeline;
mod unseen;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::outcome::SyncOutcome;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::Dashboard;
use super::history::of_listing;
use super::layout::{Page, Viewer};
use super::live::Part;
use super::pieces::{UNIT_ELSEWHERE, moment, moment_or, state, sync_link, whose_words, words};
use crate::api::by::By;
use crate::api::input::{Id, Query};
use crate::api::listings::get;
use crate::api::problem::Problem;
use crate::api::reader::Reader;
use crate::views::earlier_link::{self, BY_EARLIER};
use crate::views::gone;
use crate::views::history::{LISTING, ended_with_target, events};
use crate::views::lacking;
use crate::views::listings::Listing;
use crate::views::not_taken::{became, counts};
use crate::views::older_state::{of_newest, replayed};

pub(super) use actions::{pause, resume, retry, sync};
pub(super) use at::page as at;
pub(super) use preview::{again, page as preview};

/// Events of a page.
const SHOWN: i64 = 40;

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    /// Events before this sequence.
    before: Option<i64>,
}

/// The page. Only its newest events are live.
pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    let listing = get(State(dashboard.api.clone()), viewer.by.clone(), Id(id)).await?.1;
    let target = listing.target_name.as_deref().unwrap_or("target");
    let older = shown.before.is_some();
    let (parts, letters) = match shown.before {
        Some(before) => (vec![timeline(&dashboard, &viewer.by, id, Some(before)).await?], None),
        None => {
            let known = known::Known::of(&dashboard.api, &listing).await?;
            // The look takes up to a second, and asks NATS alone: it holds no second connection to Postgres.
            let look = letters::look(&dashboard.api, &viewer.by, &listing);
            let (parts, found) = tokio::join!(parts(&dashboard, &viewer.by, &listing, &known), look);
            (parts?, found.map(|found| letters::show(&found, known.journal.last_revision())))
        }
    };
    let body = html! {
        p.trail { a href=(format!("/targets/{}", listing.target_id)) { (target) } " / " a href="/listings" { "Listings" } }
        h1 { (listing.unit_id) " " span.quiet { "on " (target) } }
        @if older { p { a href=(format!("/listings/{id}")) { "To the newest events" } } }
        @else { (actions::part(&viewer, &listing).alone()) }
        @if let Some((timeline, first)) = parts.split_last() {
            @for part in first { (part.section()) }
            @if let Some(letters) = &letters { (letters) }
            (timeline.section())
        }
        p { a href=(of_listing(id)) { "All that was done, with the credentials" } }
    };
    let topic = (!older).then(|| format!("listing:{id}"));
    Ok(Page { title: &listing.unit_id, place: "/listings", topic, body }.show(&viewer))
}

/// What of it is live: what one may do, and the parts.
pub(super) async fn live(dashboard: &Dashboard, by: &By, id: Uuid) -> Result<Vec<Part>, Problem> {
    let listing = get(State(dashboard.api.clone()), by.clone(), Id(id)).await?.1;
    let mut live = vec![actions::part(&Viewer::shared(by.clone()), &listing)];
    let known = known::Known::of(&dashboard.api, &listing).await?;
    live.extend(parts(dashboard, by, &listing, &known).await?);
    Ok(live)
}

async fn parts(dashboard: &Dashboard, by: &By, listing: &Listing, known: &known::Known) -> Result<Vec<Part>, Problem> {
    let mut reader = Reader::open(dashboard.api.pool(), &by.caller).await?;
    let seen = next::Seen::by(&mut reader, listing, known).await?;
    let newest = replayed(&mut reader, &[listing.listing_id]).await?.remove(&listing.listing_id);
    let revision = match unseen::revision(listing, &known.journal) {
        Some(unseen) => Some(unseen.to_string()),
        None => listing.revision.map(|revision| of_newest(revision, newest)),
    };
    let before = earlier_link::taken_at(&mut reader, listing).await?;
    drop(reader);
    let next = next::show(&dashboard.api, by, listing, known, seen).await?;
    Ok(vec![
        Part::new("now", "Now", now(listing, revision.as_deref(), before)),
        Part::new("next", "What happens next", next),
        timeline(dashboard, by, listing.listing_id, None).await?,
    ])
}

async fn timeline(dashboard: &Dashboard, by: &By, id: Uuid, before: Option<i64>) -> Result<Part, Problem> {
    let mut reader = Reader::open(dashboard.api.pool(), &by.caller).await?;
    let stored = events(&mut reader, LISTING, id, before, SHOWN).await?;
    // Nearly nothing happens to a listing after that: it is told among the newest.
    let end = ended_with_target(&mut reader, id).await?;
    let shown = timeline::show(id, &stored, SHOWN, (end.as_ref(), before.is_none()), dashboard.trace_url.as_ref());
    Ok(Part::new("timeline", "What happened, newest first", shown))
}

/// What is said where nothing is known to be left out: not that all of it is there, where it is not. `before` is when it was taken last by an
/// earlier link, where it was by none of now.
fn lacks_no_part(listing: &Listing, before: Option<DateTime<Utc>>) -> &'static str {
    let succeeded = listing.last_outcome.as_deref().and_then(SyncOutcome::named).is_some_and(SyncOutcome::succeeded);
    let has_taken = listing.accepted_snapshot.is_some() || before.is_some();
    // That it is gone itself is said with what happens next.
    if has_taken && gone::is_gone(listing.last_outcome.as_deref(), listing.last_detail.as_deref()) {
        "What the channel took last is not there any more"
    } else if listing.accepted_snapshot.is_none() && before.is_some() {
        "The channel has taken nothing since it was linked again; what it has from before is not followed"
    } else if listing.accepted_snapshot.is_none() {
        "The channel has taken nothing of it yet"
    } else if succeeded {
        "No part is left out"
    } else {
        "No part is left out of what the channel took last"
    }
}

/// `revision` is the one that was asked for last; `before` is when it was taken last by an earlier link, where it was by none of now.
fn now(listing: &Listing, revision: Option<&str>, before: Option<DateTime<Utc>>) -> Markup {
    let rejected = lacking::parts(listing.rejected.clone());
    let no_sync = if listing.generation > 1 { "none since it was linked again" } else { "none yet" };
    html! {
        // Each fact has its place from the beginning, so that nothing below moves when it comes.
        dl.facts.still {
            div { dt { "State" } dd { (state(&listing.state)) @if listing.unit_elsewhere { " " (state(UNIT_ELSEWHERE)) } } }
            div { dt { "Last sync" } dd {
                @if let Some(outcome) = &listing.last_outcome { (state(outcome)) } @else { span.quiet { (no_sync) } }
                @if let Some(sync) = listing.last_sync_id { " " (sync_link(sync)) }
            } }
            div { dt { "At the channel" } dd { (listing.external_id.as_deref().unwrap_or("not known yet")) } }
            div { dt { "Revision asked for" } dd { (revision.unwrap_or("none")) } }
            div { dt { "Taken last" } dd {
                @if let Some(before) = before { (moment(before)) " " span.quiet { (BY_EARLIER) } }
                @else { (moment_or(listing.last_accepted_at, "never")) }
            } }
            div { dt { "Account" } dd { (listing.account_id) } }
            @let detail = listing.last_detail.as_deref();
            div.whole { dt { (whose_words(listing.last_outcome.as_deref(), detail)) } dd.two title=[detail] { (detail.unwrap_or("nothing")) } }
        }
        @if rejected.is_empty() { p.quiet.line { (lacks_no_part(listing, before)) } } @else {
            @let is_refused = listing.last_outcome.as_deref() == Some(SyncOutcome::Rejected.as_str());
            details { summary { (counts(&rejected, is_refused, (" is", " are"))) }
                ul { @for part in &rejected {
                    li { (words(part.section.as_str())) ": " code { (part.part) } " " (became(part, is_refused)) ": " (part.reason) }
                } }
            }
        }
    }
}
