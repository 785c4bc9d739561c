//! The list of listings.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use domain::access::Permission;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::filters::targets::{named, offered};
use super::filters::{Misread, given, one_of};
use super::layout::{Page, Viewer};
use super::pieces::{UNIT_ELSEWHERE, empty, moment_or, next_page, state};
use crate::api::Api;
use crate::api::input::Query;
use crate::api::listings::{ListingsQuery, list};
use crate::api::problem::Problem;
use crate::api::reader::Reader;
use crate::views::audit::asked_outcomes;
use crate::views::earlier_link;
use crate::views::listings::Listing;
use crate::views::older_state::{of_newest, replayed};

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
    let caller = &viewer.by.caller;
    let mut reader = Reader::open(api.pool(), caller).await?;
    let offered = offered(&mut reader, caller).await?;
    let mut misread = Misread::default();
    let target_id = match given(&shown.target_id) {
        Some(text) => misread.take("target_id", named(&mut reader, caller, text).await?),
        None => None,
    };
    drop(reader);
    let of_state = misread.read("state", &shown.state, |text| one_of(text, &STATES));
    let outcome = misread.read("outcome", &shown.outcome, |text| one_of(text, &asked_outcomes()));
    let asked =
        [("state", given(&shown.state)), ("outcome", given(&shown.outcome)), ("target_id", given(&shown.target_id))];
    let found = if misread.is_empty() {
        let query = ListingsQuery::page(target_id, of_state, outcome, shown.cursor.clone());
        let found = list(State(api.clone()), viewer.by.clone(), Query(query)).await?.0;
        let mut reader = Reader::open(api.pool(), caller).await?;
        let replayed = replayed(&mut reader, &ids(&found.items)).await?;
        Some((found, replayed))
    } else {
        None
    };
    let body = html! {
        h1 { "Listings" }
        form.filter method="get" action="/listings" {
            (misread.choice("state", "State", &shown.state, (&STATES, "all that are linked")))
            (misread.choice("outcome", "Last sync", &shown.outcome, (&asked_outcomes(), "any")))
            (misread.target(&shown.target_id, &offered))
            button { "Show" }
        }
        @match &found {
            None => (Misread::instead()),
            Some((found, replayed)) => {
                @if found.items.is_empty() { (nothing(found.next_cursor.is_some(), asked.iter().any(|(_, given)| given.is_some()), &viewer)) }
                @else { (table(&found.items, replayed)) }
                (next_page("/listings", &asked, found.next_cursor.as_deref()))
            }
        }
    };
    Ok(misread.marked(Page { title: "Listings", place: "/listings", topic: None, body }.show(&viewer)))
}

fn nothing(goes_on: bool, is_asked: bool, viewer: &Viewer) -> Markup {
    let (title, hint) = if goes_on {
        ("None among these", "The next page looks further.")
    } else if is_asked {
        ("No listing is like that", "Others may be: choose another state, last sync or target.")
    } else if viewer.may(Permission::LinkListings) {
        (
            "No listings here",
            "A listing is a unit on a target: distribution listing link, or POST /api/channels/listings.",
        )
    } else {
        ("No listings here", "A listing is a unit on a target. Those who are Owner or ChannelPublisher link one.")
    };
    empty(title, hint)
}

pub(super) fn ids(listings: &[Listing]) -> Vec<Uuid> {
    listings.iter().map(|listing| listing.listing_id).collect()
}

/// Listings as rows; with the newest revision of the unit for those for which a state of the past was asked for last.
pub(super) fn table(listings: &[Listing], replayed: &HashMap<Uuid, i64>) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th { "Unit" } th { "Target" } th { "State" } th { "Last sync" } th.wide { "At the channel" }
                th.number.wide { "Revision" } th.wide { "Taken last" }
            } }
            tbody { @for listing in listings { tr {
                td.named { a href=(format!("/listings/{}", listing.listing_id)) { (listing.unit_id) } }
                td.named { a href=(format!("/targets/{}", listing.target_id)) { (listing.target_name.as_deref().unwrap_or("target")) } }
                td { (state(&listing.state)) @if listing.unit_elsewhere { " " (state(UNIT_ELSEWHERE)) } }
                td { @if listing.pending_sync_id.is_some() { (state("pending")) }
                    @else if let Some(outcome) = &listing.last_outcome { (state(outcome)) } @else { span.quiet { "none yet" } } }
                td.named.wide { (listing.external_id.as_deref().unwrap_or("–")) }
                td.number.wide { @if let Some(revision) = listing.revision { (of_newest(revision, replayed.get(&listing.listing_id).copied())) } }
                td.wide { (moment_or(listing.last_accepted_at, earlier_link::never(listing))) }
            } } }
        } }
    }
}
