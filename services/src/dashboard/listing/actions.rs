//! What one may do to a listing. Each goes the way of the API's own handlers.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::access::Permission;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::preview::again;
use crate::api::Api;
use crate::api::if_match::IfMatch;
use crate::api::input::{Body, Form, Id};
use crate::api::listings::{self, Retry};
use crate::api::problem::Problem;
use crate::api::targets::Reason;
use crate::dashboard::layout::Viewer;
use crate::dashboard::live::Part;
use crate::dashboard::pieces::{DO_SYNC, SEND_AGAIN, reason_field};
use crate::views::listings::Listing;

/// A state of the past, and why it is sent once more.
#[derive(Debug, Deserialize)]
pub(in crate::dashboard) struct Replay {
    reason: String,
    position: i64,
}

/// What the viewer may do to the listing now.
pub(super) fn part(viewer: &Viewer, listing: &Listing) -> Part {
    let may = viewer.may(Permission::SyncListings);
    let content = if may { bar(viewer, listing) } else { Markup::default() };
    Part::new("actions", "What one may do", content)
}

/// Each has its id, so that what is open or in focus stays itself when others come and go.
fn bar(viewer: &Viewer, listing: &Listing) -> Markup {
    let path = |verb: &str| format!("/listings/{}/{verb}", listing.listing_id);
    let with = |label: &str| html! { (reason_field()) button.strong { (label) } };
    html! { div.actions {
        @if ["active", "paused"].contains(&listing.state.as_str()) && !listing.unit_elsewhere {
            @let label = format!("{SEND_AGAIN}…");
            div.one #(DO_SYNC) { (again(viewer, listing.listing_id, None, (&label, "Send the latest state"))) }
        }
        @if listing.state == "active" { div.one #do-pause { (viewer.action(&path("pause"), "Pause…", &with("Pause"))) } }
        @if listing.state == "paused" {
            div.one #do-resume { (viewer.form(&path("resume"), &html! { button { "Resume" } })) }
        }
    } }
}

fn back(id: Uuid) -> Response {
    Redirect::to(&format!("/listings/{id}")).into_response()
}

pub(in crate::dashboard) async fn sync(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
    Form(reason): Form<Reason>,
) -> Result<Response, Problem> {
    listings::sync(State(api), viewer.by, Id(id), Body(reason)).await?;
    Ok(back(id))
}

pub(in crate::dashboard) async fn retry(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
    Form(replay): Form<Replay>,
) -> Result<Response, Problem> {
    let retry = Retry::of_position(replay.reason, replay.position);
    listings::retry(State(api), viewer.by, Id(id), Body(retry)).await?;
    Ok(back(id))
}

pub(in crate::dashboard) async fn pause(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
    Form(reason): Form<Reason>,
) -> Result<Response, Problem> {
    listings::pause(State(api), viewer.by, Id(id), IfMatch::Any, Body(reason)).await?;
    Ok(back(id))
}

pub(in crate::dashboard) async fn resume(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
) -> Result<Response, Problem> {
    listings::resume(State(api), viewer.by, Id(id), IfMatch::Any).await?;
    Ok(back(id))
}
