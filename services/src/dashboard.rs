//! The dashboard: pages that the server makes from the read models and the journal, for the people that the API knows.
//! Same session, same roles, same handlers for every change; the pages add nothing that the API does not allow.
//!
//! Reading order: [`admission`], [`layout`], [`overview`], [`listing`], [`live`].

mod admission;
mod assets;
mod audit;
mod calls;
mod dead_letters;
mod difference;
mod filters;
mod history;
mod lag;
mod layout;
mod levels;
mod listing;
mod listings;
mod live;
mod needs;
mod overview;
mod parameters;
mod pieces;
mod plots;
mod problems;
mod readable;
mod search;
mod sign_in;
mod sync;
mod target;
mod targets;
mod traces;
mod trouble;
mod ways;
mod wrong;

use axum::Router;
use axum::extract::FromRef;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use tokio_util::sync::CancellationToken;

use crate::api::{Api, admission as who};
use crate::config::TraceUrl;
use live::Live;

pub(crate) use admission::for_people;

/// What the pages work with: the API, and what is theirs alone. Clones share everything.
#[derive(Debug, Clone, FromRef)]
pub struct Dashboard {
    api: Api,
    live: Live,
    trace_url: Option<TraceUrl>,
}

impl Dashboard {
    /// Pages over an API. `trace_url` is where traces can be looked at; live pages end with `stop`, and leave half of the process's
    /// `connections` to others.
    pub fn new(api: Api, trace_url: Option<TraceUrl>, stop: CancellationToken, connections: usize) -> Self {
        Self { api, live: Live::until(stop, connections), trace_url }
    }
}

/// How people come in and go.
pub(crate) fn sign_in(dashboard: Dashboard) -> Router {
    sign_in::router().with_state(dashboard)
}

/// What kinds of problems there are.
pub(crate) fn problems(dashboard: Dashboard) -> Router {
    problems::router().with_state(dashboard)
}

/// The pages. What each needs stands in `api::policy`.
pub(crate) fn router(dashboard: Dashboard) -> Router {
    let pages = Router::new()
        .route("/", get(overview::page))
        .route("/live", get(live::stream))
        .route("/search", get(search::page))
        .route("/targets", get(targets::page))
        .route("/targets/{target_id}", get(target::page))
        .route("/targets/{target_id}/history", get(history::target))
        .route("/targets/{target_id}/pause", post(target::pause))
        .route("/targets/{target_id}/resume", post(target::resume))
        .route("/targets/{target_id}/check", post(target::check))
        .route("/targets/{target_id}/credential", post(target::rotate))
        .route("/listings", get(listings::page))
        .route("/listings/{listing_id}", get(listing::page))
        .route("/listings/{listing_id}/history", get(history::listing))
        .route("/listings/{listing_id}/at/{sequence}", get(listing::at))
        .route("/listings/{listing_id}/preview", get(listing::preview))
        .route("/listings/{listing_id}/sync", post(listing::sync))
        .route("/listings/{listing_id}/retry", post(listing::retry))
        .route("/listings/{listing_id}/pause", post(listing::pause))
        .route("/listings/{listing_id}/resume", post(listing::resume))
        .route("/syncs/{sync_id}", get(sync::page))
        .route("/audit", get(audit::page))
        .route("/dead-letters", get(dead_letters::page))
        .route("/dead-letters/{number}/replay", post(dead_letters::replay))
        .route("/dead-letters/{number}/discard", post(dead_letters::discard))
        .route_layer(from_fn(parameters::only))
        .route_layer(from_fn_with_state(dashboard.api.clone(), who::admit))
        .route_layer(from_fn(admission::as_page))
        .with_state(dashboard);
    Router::new().merge(pages).route("/assets/{file}", get(assets::serve))
}
