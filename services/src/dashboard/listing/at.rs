//! Travelling in time: a listing as it was after an event, made by applying the events up to it, and the way back there.

use axum::extract::State;
use axum::response::Response;
use domain::access::Permission;
use domain::hash::SnapshotHash;
use domain::ids::ListingId;
use domain::recorded::ChannelEvent;
use maud::{Markup, html};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::had;
use super::preview::{again, previewed};
use super::timeline::told;
use crate::api::Api;
use crate::api::input::Id;
use crate::api::listings::get;
use crate::api::problem::Problem;
use crate::api::reader::Reader;
use crate::dashboard::layout::{Page, Viewer};
use crate::dashboard::pieces::{moment, state, sync_link};
use crate::dashboard::readable::readable;
use crate::views::explain::history::History;
use crate::views::history::{LISTING, NoHistory, ended_with_target, events, events_within};

/// Events that are in memory at a time: a listing may have any number of them.
const BATCH: i64 = 2_000;

/// The page.
pub(in crate::dashboard) async fn page(
    State(api): State<Api>,
    viewer: Viewer,
    Id((id, sequence)): Id<(Uuid, i64)>,
) -> Result<Response, Problem> {
    let now = get(State(api.clone()), viewer.by.clone(), Id(id)).await?.1;
    let before = sequence.checked_add(1).ok_or_else(|| Problem::not_found("event"))?;
    let mut reader = Reader::open(api.pool(), &viewer.by.caller).await?;
    let newest = events(&mut reader, LISTING, id, Some(before), 1).await?;
    let last = newest.first().filter(|last| last.sequence == sequence).ok_or_else(|| Problem::not_found("event"))?;
    let history = applied(&mut reader, id, sequence).await?;
    let end = ended_with_target(&mut reader, id).await?;
    drop(reader);
    let current = api.syncing().commands().load_listing(ListingId(id)).await?;
    let had = had::show(&api, current.link(), &history).await?;
    // The newest snapshot that was asked for by then, with its place in the journal.
    let asked = history.syncs.back().map(|story| (story.request.snapshot, story.position));
    // Who may send it sees what that changes in the form; the others see it here.
    let sends = viewer.may(Permission::SyncListings) && ["active", "paused"].contains(&now.state.as_str());
    let (unit, preview) = match asked {
        Some((hash, _)) if sends => (snapshot(&api, &viewer, hash).await?, None),
        Some((hash, _)) => {
            (snapshot(&api, &viewer, hash).await?, Some(previewed(&api, &viewer.by, id, Some(hash)).await))
        }
        None => (None, None),
    };
    let mut event = ChannelEvent::from_stored(&last.aggregate_type, &last.event_type, last.payload.get());
    if let (Ok(ChannelEvent::Listing(event)), Some(end)) = (&mut event, &end) {
        end.as_audited(last.position, event);
    }
    let body = html! {
        p.trail { a href=(format!("/listings/{id}")) { (now.unit_id) } }
        h1 { "After event " (sequence) " " span.quiet { (moment(last.recorded_at)) } }
        @if let Ok(ChannelEvent::Listing(event)) = &event { section { h2 { "The event" } (told(event)) } }
        section { h2 { "The listing then" } (shown(&history)) }
        section { h2 { "What the channel had" } (had) }
        @if let Some((hash, position)) = asked {
            section {
                h2 { "What was wanted then" }
                p { "Snapshot " code { (hash) } }
                @if sends { div.actions { (again(&viewer, id, Some(position), ("Send this state again…", "Send this state"))) } }
                @if let Some(preview) = &preview { details { summary { "What sending it again would change at the channel" } (preview) } }
                @if let Some(unit) = &unit { details { summary { "The unit as it was" } (readable(unit, "unit")) } }
            }
        }
    };
    Ok(Page { title: &format!("{} after event {sequence}", now.unit_id), place: "/listings", topic: None, body }
        .show(&viewer))
}

/// What had happened up to an event, with the state after it.
async fn applied(reader: &mut PgConnection, id: Uuid, sequence: i64) -> Result<History, Problem> {
    let mut history = History::default();
    let mut after = 0;
    while after < sequence {
        let batch = events_within(&mut *reader, LISTING, id, (after, sequence), BATCH).await?;
        let Some(newest) = batch.last() else { return Err(Problem::not_found("event")) };
        after = newest.sequence;
        for stored in batch {
            history.take(&stored.recorded().map_err(NoHistory::from)?);
        }
    }
    Ok(history)
}

async fn snapshot(api: &Api, viewer: &Viewer, hash: SnapshotHash) -> Result<Option<Value>, Problem> {
    const BODY: &str = "SELECT body FROM unit_snapshots WHERE hash = $1";
    let mut reader = Reader::open(api.pool(), &viewer.by.caller).await?;
    Ok(sqlx::query_scalar(BODY).bind(hash.as_bytes()).fetch_optional(&mut *reader).await?)
}

fn shown(history: &History) -> Markup {
    let listing = &history.listing;
    let nowhere = if history.is_afresh() { "not found since it was linked afresh" } else { "not created yet" };
    let is_first = listing.link().is_none_or(|link| link.generation == 1);
    let never = if is_first { "none yet" } else { "none since it was linked again" };
    html! { dl.facts {
        div { dt { "State" } dd { (state(listing.state().map_or("unlinked", |state| state.as_str()))) } }
        div { dt { "At the channel" } dd { @if let Some(id) = listing.external_id() { (id) } @else { (nowhere) } } }
        div { dt { "Newest revision" } dd { @if listing.last_revision() > 0 { (listing.last_revision()) } @else { (never) } } }
        div { dt { "To be verified" } dd { @if listing.must_verify() { "yes" } @else { "no" } } }
        div { dt { "Waits" } dd { @if let Some(pending) = listing.pending() { (sync_link(pending.sync_id.0)) } @else { "nothing" } } }
    } }
}
