//! What sending a listing once more would change: a page of its own, and what a form shows before it is sent.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{Html, IntoResponse as _, Response};
use domain::access::Permission;
use domain::hash::SnapshotHash;
use domain::ids::ListingId;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use crate::api::Api;
use crate::api::by::By;
use crate::api::input::{Id, Query};
use crate::api::listings::get;
use crate::api::problem::Problem;
use crate::api::reader::Reader;
use crate::dashboard::difference;
use crate::dashboard::layout::{Page, Viewer};
use crate::dashboard::pieces::reason_field;
use crate::replay_point::ReplayPoint;
use crate::views::preview::{Wanted, preview};

/// Sent by htmx: the answer becomes a part of a page.
const PART: HeaderName = HeaderName::from_static("hx-request");

#[derive(Debug, Deserialize)]
pub(in crate::dashboard) struct Shown {
    /// The state that was the newest at this position of the journal; the latest one without it.
    position: Option<i64>,
}

/// The page, or what of it a form shows.
pub(in crate::dashboard) async fn page(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
    Query(shown): Query<Shown>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let listing = get(State(api.clone()), viewer.by.clone(), Id(id)).await?.1;
    let told = match shown.position {
        None => previewed(&api, &viewer.by, id, None).await,
        Some(position) => {
            let mut reader = Reader::open(api.pool(), &viewer.by.caller).await?;
            let found = ReplayPoint::Position(position).snapshot(&mut reader, ListingId(id)).await;
            drop(reader);
            match found {
                Ok(snapshot) => previewed(&api, &viewer.by, id, Some(snapshot)).await,
                Err(none) => refused(&none),
            }
        }
    };
    if headers.contains_key(PART) {
        return Ok(Html(told.0).into_response());
    }
    let body = html! {
        p.trail { a href=(format!("/listings/{id}")) { (listing.unit_id) } }
        h1 { "What would be sent" }
        (told)
    };
    let title = format!("What would be sent of {}", listing.unit_id);
    Ok(Page { title: &title, place: "/listings", topic: None, body }.show(&viewer))
}

/// What sending a snapshot, or the latest state, would change; where it would be refused, why.
pub(super) async fn previewed(api: &Api, by: &By, id: Uuid, snapshot: Option<SnapshotHash>) -> Markup {
    let wanted = Wanted { snapshot, forced: true };
    let reader = Reader::open(api.pool(), &by.caller);
    match preview(api.syncing(), api.pool(), reader, ListingId(id), wanted).await {
        Ok(preview) => difference::of_preview(&preview, by.caller.may(Permission::SyncListings)),
        Err(no) => refused(&no),
    }
}

fn refused(why: &dyn std::fmt::Display) -> Markup {
    html! { p.warn { "It cannot be sent: " (why) } }
}

/// A form that sends a listing once more, below what that would change. `position` names a state of the past.
pub(in crate::dashboard) fn again(
    viewer: &Viewer,
    listing: Uuid,
    position: Option<i64>,
    (label, button): (&str, &str),
) -> Markup {
    let (verb, query) = match position {
        Some(position) => ("retry", format!("?position={position}")),
        None => ("sync", String::new()),
    };
    let preview = format!("/listings/{listing}/preview{query}");
    let fields = html! {
        @if let Some(position) = position { input type="hidden" name="position" value=(position); }
        (reason_field())
        button.strong { (button) }
    };
    html! {
        details.action hx-get=(preview) hx-trigger="toggle once" hx-target="find .preview" {
            summary.button { (label) }
            div.preview { p { a href=(preview) { "What would be sent" } } }
            (viewer.form(&format!("/listings/{listing}/{verb}"), &fields))
        }
    }
}
