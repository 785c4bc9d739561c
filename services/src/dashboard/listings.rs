//! The list of listings.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::access::Permission;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::layout::{Page, Viewer};
use super::pieces::{empty, moment_or, next_page, options, state};
use crate::api::Api;
use crate::api::input::Query;
use crate::api::listings::{ListingsQuery, list};
use crate::api::problem::Problem;
use crate::views::audit::asked_outcomes;
use crate::views::listings::Listing;

const STATES: [&str; 4] = ["active", "paused", "target_deleted", "unlinked"];

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    target_id: Option<String>,
    state: Option<String>,
    outcome: Option<String>,
    cursor: Option<String>,
}

/// Listings by unit, 50 a page.
pub(super) async fn page(
    State(api): State<Api>,
    viewer: Viewer,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    let target = shown.target_id.filter(|id| !id.is_empty());
    let no_id = |_| Problem::field("target_id", "is no id of a target");
    let target_id = target.as_deref().map(|id| id.parse::<Uuid>().map_err(no_id)).transpose()?;
    let of_state = shown.state.filter(|state| !state.is_empty());
    let outcome = shown.outcome.filter(|outcome| !outcome.is_empty());
    let query = ListingsQuery::page(target_id, of_state.clone(), outcome.clone(), shown.cursor);
    let Json(found) = list(State(api), viewer.by.clone(), Query(query)).await?;
    let asked = [("state", of_state.as_deref()), ("outcome", outcome.as_deref()), ("target_id", target.as_deref())];
    let body = html! {
        h1 { "Listings" }
        form.filter method="get" action="/listings" {
            label { "State " select name="state" { (options(&STATES, of_state.as_deref(), "all that are linked")) } }
            label { "Last sync " select name="outcome" { (options(&asked_outcomes(), outcome.as_deref(), "any")) } }
            label { "Target " input name="target_id" value=[target.as_deref()] placeholder="id of a target" size="36"; }
            button { "Show" }
        }
        @if found.items.is_empty() && found.next_cursor.is_some() {
            (empty("None among these", "The next page looks further."))
        } @else if found.items.is_empty() && asked.iter().any(|(_, given)| given.is_some()) {
            (empty("No listing is like that", "Others may be: choose another state, last sync or target."))
        } @else if found.items.is_empty() && viewer.may(Permission::LinkListings) {
            (empty("No listings here", "A listing is a unit on a target: distribution listing link, or POST /api/channels/listings."))
        } @else if found.items.is_empty() {
            (empty("No listings here", "A listing is a unit on a target. Those who are Owner or ChannelPublisher link one."))
        } @else { (table(&found.items)) }
        (next_page("/listings", &asked, found.next_cursor.as_deref()))
    };
    Ok(Page { title: "Listings", place: "/listings", topic: None, body }.show(&viewer))
}

/// Listings as rows.
pub(super) fn table(listings: &[Listing]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th { "Unit" } th { "Target" } th { "State" } th { "Last sync" } th.wide { "At the channel" }
                th.number.wide { "Revision" } th.wide { "Taken last" }
            } }
            tbody { @for listing in listings { tr {
                td { a href=(format!("/listings/{}", listing.listing_id)) { (listing.unit_id) } }
                td { a href=(format!("/targets/{}", listing.target_id)) { (listing.target_name.as_deref().unwrap_or("target")) } }
                td { (state(&listing.state)) }
                td { @if listing.pending_sync_id.is_some() { (state("pending")) }
                    @else if let Some(outcome) = &listing.last_outcome { (state(outcome)) } @else { span.quiet { "none yet" } } }
                td.wide { (listing.external_id.as_deref().unwrap_or("–")) }
                td.number.wide { @if let Some(revision) = listing.revision { (revision) } }
                td.wide { (moment_or(listing.last_accepted_at, "never")) }
            } } }
        } }
    }
}
