//! Finding a target, a listing or a sync by what somebody has in hand: a name, a unit, an id at the channel, a sync, a request, a
//! trace.

mod targets;

use std::collections::HashMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::access::Permission;
use domain::ids::ExternalId;
use maud::{Markup, html};
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::layout::{Page, Viewer};
use super::pieces::empty;
use super::ways::Ways;
use super::{audit, dead_letters, listings, traces};
use crate::api::Api;
use crate::api::dead_letters::{Letter, of_trace};
use crate::api::input::Query;
use crate::api::problem::Problem;
use crate::api::reader::{Reader, account_filter};
use crate::views::audit::{COLUMNS, Sync};
use crate::views::former_id::{could_be, had_it};
use crate::views::listings::{LISTINGS, Listing};
use crate::views::older_state::replayed;

/// Rows of each kind that are shown.
const SHOWN: usize = 20;
/// And looked for: one more says that there are more.
const WANTED: i64 = 21;
/// Syncs that are looked through for one whose id has an end.
const NEWEST: i64 = 200_000;
/// How long the events of listings are looked through for an id that one had before.
const FORMER_LOOK: &str = "SET LOCAL statement_timeout = '2s'";
/// What Postgres says of a statement that it ended for its time-out.
const CANCELLED: &str = "57014";

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    q: String,
}

#[derive(Debug, Default)]
struct Found {
    targets: Vec<targets::Found>,
    listings: Vec<Listing>,
    /// Those that had this id at the channel before they were linked again; looked for where nothing else is called so.
    former: Vec<Listing>,
    /// Of the listings for which a state of the past was asked for last, the newest revisions.
    replayed: HashMap<Uuid, i64>,
    syncs: Vec<Sync>,
    /// Messages that ended in a trace.
    letters: Vec<Letter>,
    /// Those could not be looked through.
    unlooked: bool,
    /// Nor could what ids listings had before.
    former_unlooked: bool,
}

impl Found {
    fn is_empty(&self) -> bool {
        let Self { targets, listings, former, syncs, letters, .. } = self;
        targets.is_empty() && listings.is_empty() && former.is_empty() && syncs.is_empty() && letters.is_empty()
    }

    /// The page of the only thing that was found. That of a listing does not tell what id it had before.
    fn alone(&self) -> Option<String> {
        let Self { targets, listings, former, syncs, letters, .. } = self;
        if !former.is_empty() {
            return None;
        }
        match (targets.as_slice(), listings.as_slice(), syncs.as_slice(), letters.as_slice()) {
            ([one], [], [], []) => Some(format!("/targets/{}", one.target_id)),
            ([], [one], [], []) => Some(format!("/listings/{}", one.listing_id)),
            ([], [], [one], []) => Some(format!("/syncs/{}", one.sync_id)),
            ([], [], [], [one]) => Some(dead_letters::place(one)),
            _ => None,
        }
    }
}

/// What was found; one thing alone is shown at once.
pub(super) async fn page(
    State(api): State<Api>,
    viewer: Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let text = wanted.q.trim();
    let found = if text.is_empty() { Found::default() } else { find(&api, &viewer, text).await? };
    if let Some(place) = found.alone() {
        return Ok(Redirect::to(&place).into_response());
    }
    let all_syncs = syncs_at(text);
    let of_listings = |rows: &[Listing]| listings::table(rows, &found.replayed);
    let table_of_syncs = |syncs: &[Sync]| audit::table(syncs, Ways::of(&viewer.by.caller));
    let body = html! {
        h1 { "Search" @if !text.is_empty() { " " span.quiet { "“" (text) "”" } } }
        @if found.is_empty() { (nothing(&viewer, text)) }
        @if found.unlooked { p.quiet { "Dead letters could not be looked through now: NATS does not answer in time. Search again later." } }
        @if found.former_unlooked { p.quiet { "Which listings had this id at the channel before they were linked again could not be looked through now: it takes too long. Search again later, or ask " code { "distribution explain" } "." } }
        (section("Targets", &found.targets, targets::table, ("give more of the name, or look at ", "/targets", "all targets")))
        (section("Listings", &found.listings, of_listings, ("give more of the unit's id, or look at ", "/listings", "all listings")))
        (section("Listings that had this id at the channel before they were linked again", &found.former, of_listings, ("look at ", "/listings", "all listings")))
        (section("Syncs", &found.syncs, table_of_syncs, ("all of them are in ", all_syncs.as_str(), "the audit")))
        (section("Dead letters", &found.letters, dead_letters::found, ("all of them are among ", "/dead-letters", "the dead letters")))
    };
    Ok(Page { title: "Search", place: "/search", topic: None, body }.show(&viewer))
}

/// What was found of a kind; where there is more than is shown, what can be done about it: some words, and a link.
fn section<T>(title: &str, found: &[T], table: impl Fn(&[T]) -> Markup, more: (&str, &str, &str)) -> Markup {
    let (words, path, list) = more;
    html! { @if !found.is_empty() { section {
        h2 { (title) }
        (table(&found[..found.len().min(SHOWN)]))
        @if found.len() > SHOWN {
            p.quiet { "These are the first " (SHOWN) ", and there are more: " (words) a href=(path) { (list) } "." }
        }
    } } }
}

/// Where the audit has the syncs of a trace. Of anything else that names many there is no such list.
fn syncs_at(text: &str) -> String {
    traces::named(text).map_or_else(|| "/audit".to_owned(), |id| format!("/audit?trace_id={id}"))
}

/// What could be searched for: what the viewer may not see is not found, and not offered.
fn nothing(viewer: &Viewer, text: &str) -> Markup {
    // Blanks ask for nothing, and nothing was looked for.
    let title = if text.is_empty() { "What are you looking for?" } else { "Nothing found" };
    if viewer.may(Permission::ReadTargets) && viewer.may(Permission::ReadListings) {
        return empty(
            title,
            "Give a part of a target's name, its id, the beginning of a unit's id, the id of a listing at its channel (or one that it had before it was linked again) or here, of a sync (its last 12 digits do), of a request to a channel, or of a trace. In ids of units, and of listings at their channel, capital and small letters differ.",
        );
    }
    let of_unit = form_urlencoded::Serializer::new(String::new()).append_pair("unit_id", text).finish();
    html! {
        (empty(title, "Give the id of a sync (its last 12 digits do), of a request to a channel, or of a trace. Targets and listings are not open to you."))
        @if !text.is_empty() {
            p { a href=(format!("/audit?{of_unit}")) { "Syncs of a unit named “" (text) "” in the audit" } }
        }
    }
}

async fn find(api: &Api, viewer: &Viewer, text: &str) -> Result<Found, Problem> {
    let mut reader = Reader::open(api.pool(), &viewer.by.caller).await?;
    let syncs = match (text.parse::<Uuid>().ok(), traces::named(text), end(text)) {
        (None, None, None) => Vec::new(),
        // A UUID without hyphens looks like a trace id, and the other way round: both are tried.
        (id, trace, end) => syncs(&mut reader, viewer, (id, trace, end)).await?,
    };
    let listings =
        if viewer.may(Permission::ReadListings) { listings_of(&mut reader, viewer, text).await? } else { Vec::new() };
    let replayed = replayed(&mut reader, &listings::ids(&listings)).await?;
    let targets = if viewer.may(Permission::ReadTargets) {
        targets::find(&mut reader, &viewer.by, text, WANTED).await?
    } else {
        Vec::new()
    };
    drop(reader);
    let mut found = Found { targets, listings, replayed, syncs, ..Found::default() };
    if let Some(id) = could_be(text).filter(|_| found.is_empty() && viewer.may(Permission::ReadListings)) {
        look_for_former(&mut found, api, viewer, &id).await?;
    }
    let letters = match traces::named(text) {
        Some(trace) => of_trace(api, &viewer.by.caller, &trace).await,
        None => Some(Vec::new()),
    };
    found.unlooked = letters.is_none();
    found.letters = letters.unwrap_or_default();
    Ok(found)
}

/// The end of an id, as pages show it.
fn end(text: &str) -> Option<String> {
    (text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

async fn syncs(
    reader: &mut PgConnection,
    viewer: &Viewer,
    (id, trace, end): (Option<Uuid>, Option<String>, Option<String>),
) -> Result<Vec<Sync>, sqlx::Error> {
    // Each its own look-up; one condition with OR would read everything. An index of ends would cost every sync something,
    // so that of those the newest are looked through.
    let statement = format!(
        "WITH found AS MATERIALIZED (SELECT sync_id FROM (
            SELECT $1::uuid AS sync_id
            UNION SELECT sync_id FROM outbound_attempts WHERE request_id = $1
            UNION SELECT sync_id FROM outbound_audit
                WHERE traceparent ~>=~ ('00-' || $2 || '-') AND traceparent ~<~ ('00-' || $2 || '.')
            UNION SELECT sync_id FROM (
                SELECT sync_id FROM outbound_audit WHERE $6::text IS NOT NULL AND org_id = $3
                ORDER BY position DESC LIMIT {NEWEST}) AS newest
                WHERE right(sync_id::text, 12) = $6
         ) AS ids LIMIT 1000)
         SELECT {COLUMNS} FROM found JOIN outbound_audit AS a ON a.sync_id = found.sync_id
         LEFT JOIN channel_targets AS t ON t.target_id = a.target_id
         WHERE a.org_id = $3 AND ($4::text[] IS NULL OR a.account_id = ANY ($4))
         ORDER BY a.position DESC LIMIT $5"
    );
    let rows = sqlx::query_as(&statement).bind(id).bind(trace).bind(viewer.by.caller.org_id.as_str());
    rows.bind(account_filter(&viewer.by.caller)).bind(WANTED).bind(end).fetch_all(reader).await
}

async fn listings_of(reader: &mut PgConnection, viewer: &Viewer, text: &str) -> Result<Vec<Listing>, sqlx::Error> {
    // The end of the range: no text that begins with the wanted one comes after it.
    let statement = format!(
        "{LISTINGS} JOIN (
            SELECT listing_id FROM channel_listings WHERE listing_id = $1
            UNION (SELECT listing_id FROM channel_listings WHERE external_id = $2 LIMIT 50)
            UNION (SELECT listing_id FROM channel_listings
                   WHERE org_id = $3 AND unit_id ~>=~ $2 AND unit_id ~<~ ($2 || chr(1114111)) ORDER BY unit_id USING ~<~ LIMIT 50)
         ) AS found ON found.listing_id = l.listing_id
         WHERE l.org_id = $3 AND ($4::text[] IS NULL OR l.account_id = ANY ($4))
         ORDER BY (l.unit_id = $2) DESC, l.unit_id, l.listing_id LIMIT $5"
    );
    let rows = sqlx::query_as(&statement).bind(text.parse::<Uuid>().ok()).bind(text);
    let rows = rows.bind(viewer.by.caller.org_id.as_str()).bind(account_filter(&viewer.by.caller)).bind(WANTED);
    rows.fetch_all(reader).await
}

/// Those that had this id before. That may read a lot, so it has a transaction and a short time of its own: the page is worth something without.
async fn look_for_former(found: &mut Found, api: &Api, viewer: &Viewer, id: &ExternalId) -> Result<(), sqlx::Error> {
    let caller = &viewer.by.caller;
    let mut reader = Reader::open(api.pool(), caller).await?;
    sqlx::query(FORMER_LOOK).execute(&mut *reader).await?;
    let had_it = match had_it(&mut reader, id, Some(caller.org_id.as_str()), account_filter(caller)).await {
        Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some(CANCELLED) => {
            found.former_unlooked = true;
            return Ok(());
        }
        had_it => had_it?,
    };
    if had_it.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = had_it.iter().map(|one| one.listing_id).collect();
    let statement = format!(
        "{LISTINGS} WHERE l.listing_id = ANY ($1) AND l.org_id = $3 AND ($4::text[] IS NULL OR l.account_id = ANY ($4))
         ORDER BY l.unit_id, l.listing_id LIMIT $2"
    );
    let rows = sqlx::query_as(&statement).bind(ids).bind(WANTED).bind(caller.org_id.as_str());
    found.former = rows.bind(account_filter(caller)).fetch_all(&mut *reader).await?;
    found.replayed = replayed(&mut reader, &listings::ids(&found.former)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_known_by_the_end_of_its_id() {
        assert_eq!(end("4F92f3577b34").as_deref(), Some("4f92f3577b34"));
        assert_eq!(end("4f92f3577b3"), None);
    }
}
