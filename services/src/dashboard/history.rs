//! Who did what to a target or a listing, event by event, and who had a target looked at or put a value in the place of its secret: pages for
//! whoever reads the audit, also for those to whom targets and listings are not open.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::access::Permission;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::layout::{Page, Viewer};
use super::pieces::{empty, moment, next_page, state, sync_link, words};
use crate::api::Api;
use crate::api::history::{Event, HistoryQuery};
use crate::api::input::{Id, Query};
use crate::api::page::Page as Rows;
use crate::api::problem::Problem;
use crate::api::{listings, targets};
use crate::views::by::{on_behalf_of, with};
use crate::views::visits::Visit;

/// Rows of a page.
const SHOWN: i64 = 50;

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    cursor: Option<String>,
}

/// Where the history of a target is.
pub(super) fn of_target(id: Uuid) -> String {
    format!("/targets/{id}/history")
}

/// Where that of a listing is.
pub(super) fn of_listing(id: Uuid) -> String {
    format!("/listings/{id}/history")
}

/// The page of a target. Its first page has the newest visits, too.
pub(super) async fn target(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    let first = shown.cursor.is_none();
    let query = Query(HistoryQuery::page(SHOWN, shown.cursor));
    let Json(found) = targets::history(State(api.clone()), viewer.by.clone(), Id(id), query).await?;
    let visits = if first {
        let newest = Query(HistoryQuery::page(SHOWN, None));
        targets::visits(State(api), viewer.by.clone(), Id(id), newest).await?.0.items
    } else {
        Vec::new()
    };
    let body = html! {
        p.trail {
            @if viewer.may(Permission::ReadTargets) { a href=(format!("/targets/{id}")) { "The target" } " / " }
            a href=(format!("/audit?target_id={id}")) { "Its syncs" }
        }
        h1 { "History of a target " span.quiet { (id) } }
        section { h2 { "What was done, the newest first" } (events(&found, &of_target(id))) }
        @if first { section {
            h2 { "What is no event: checks and looks for drift that somebody asked for, of three days, and values of its secret" }
            (visited(&visits))
        } }
    };
    Ok(Page { title: "History of a target", place: "/targets", topic: None, body }.show(&viewer))
}

/// The page of a listing.
pub(super) async fn listing(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    let query = Query(HistoryQuery::page(SHOWN, shown.cursor));
    let Json(found) = listings::history(State(api), viewer.by.clone(), Id(id), query).await?;
    let body = html! {
        p.trail {
            @if viewer.may(Permission::ReadListings) { a href=(format!("/listings/{id}")) { "The listing" } " / " }
            a href=(format!("/audit?listing_id={id}")) { "Its syncs" }
        }
        h1 { "History of a listing " span.quiet { (id) } }
        section { h2 { "What was done, the newest first" } (events(&found, &of_listing(id))) }
    };
    Ok(Page { title: "History of a listing", place: "/listings", topic: None, body }.show(&viewer))
}

fn events(found: &Rows<Event>, path: &str) -> Markup {
    if found.items.is_empty() {
        return empty("Nothing before this", "This is where its history begins.");
    }
    html! {
        div.scroll tabindex="0" { table {
            thead { tr { th { "At" } th { "Event" } th { "By" } th { "Why" } th { "Sync" } } }
            tbody { @for event in &found.items { (row(event)) } }
        } }
        (next_page(path, &[], found.next_cursor.as_deref()))
    }
}

fn row(event: &Event) -> Markup {
    let by = with(&event.created_by, Some(&event.credential), event.credential_id.as_deref());
    let other = on_behalf_of(&event.created_by, event.metadata["on_behalf_of"].as_str());
    let content = event.content();
    html! { tr {
        td { (moment(event.recorded_at)) }
        td { (event.event_type) @if !event.withheld.is_empty() { " " span.quiet { "without " (named(&event.withheld)) } } }
        td { (by) (other) }
        td { @if let Some(reason) = reason(content) { (reason) } }
        td { @if let Some(sync) = sync(content) { (sync_link(sync)) } }
    } }
}

fn named(fields: &[&str]) -> String {
    fields.iter().map(|field| words(field)).collect::<Vec<_>>().join(", ")
}

/// Why somebody wanted it: of a sync it stands with its cause.
fn reason(content: &Value) -> Option<&str> {
    content["reason"].as_str().or_else(|| content["request"]["cause"]["reason"].as_str())
}

/// The sync that it is about.
fn sync(content: &Value) -> Option<Uuid> {
    let id = [&content["request"]["sync_id"], &content["attempt"]["sync_id"], &content["sync_id"], &content["cancels"]];
    id.into_iter().find_map(Value::as_str)?.parse().ok()
}

fn visited(visits: &[Visit]) -> Markup {
    if visits.is_empty() {
        return empty(
            "Nobody asked for any",
            "Checks whose turn had come stand with the target's health, secrets that the API was given above.",
        );
    }
    html! { div.scroll tabindex="0" { table {
        thead { tr { th { "At" } th { "What" } th { "By" } th { "Listing" } th.number { "Calls" } } }
        tbody { @for visit in visits { tr {
            td { (moment(visit.at)) }
            td { (words(&visit.kind)) @if let Some(class) = &visit.class { " " (state(class)) } }
            td { (asker(visit)) }
            td { @if let Some(listing) = visit.listing_id { a href=(of_listing(listing)) { code { (listing) } } } }
            td.number { (visit.calls) }
        } } }
    } } }
}

fn asker(visit: &Visit) -> String {
    let by = visit.created_by.as_deref().unwrap_or("not recorded");
    with(by, visit.credential.as_deref(), visit.credential_id.as_deref())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reason_and_a_sync_are_found_wherever_an_event_has_them() {
        let id = Uuid::from_u128(7);
        let asked = json!({ "request": { "sync_id": id, "cause": { "kind": "manual", "reason": "a guest" } } });
        assert_eq!((reason(&asked), sync(&asked)), (Some("a guest"), Some(id)));
        let ended = json!({ "attempt": { "sync_id": id } });
        assert_eq!((reason(&ended), sync(&ended)), (None, Some(id)));
        let unlinked = json!({ "reason": "sold", "cancels": null });
        assert_eq!((reason(&unlinked), sync(&unlinked)), (Some("sold"), None));
        assert_eq!((reason(&Value::Null), sync(&Value::Null)), (None, None));
    }
}
