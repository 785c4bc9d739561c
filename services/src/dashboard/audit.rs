//! The audit: every sync, with filters, and the way to export them.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::access::Caller;
use domain::ids::{AccountId, InvalidName, TraceId};
use maud::{Markup, html};
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::filters::targets::{Offered, named, offered};
use super::filters::{Misread, given, one_of, time};
use super::history::{of_listing, of_target};
use super::layout::{Page, Viewer};
use super::pieces::{empty, moment, next_page, span, state, sync_link, words};
use super::traces;
use super::ways::Ways;
use crate::api::Api;
use crate::api::audit::{Filter, Order, syncs};
use crate::api::input::Query;
use crate::api::page::decode;
use crate::api::problem::Problem;
use crate::api::reader::Reader;
use crate::views::audit::{CAUSES, Sync, asked_outcomes, classes};

/// Rows of a page.
const SHOWN: i64 = 50;

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    account_id: Option<String>,
    target_id: Option<String>,
    listing_id: Option<String>,
    unit_id: Option<String>,
    outcome: Option<String>,
    class: Option<String>,
    cause: Option<String>,
    trace_id: Option<String>,
    since: Option<String>,
    until: Option<String>,
    ended_since: Option<String>,
    called_since: Option<String>,
    cursor: Option<String>,
}

/// Syncs, the newest first.
pub(super) async fn page(
    State(api): State<Api>,
    viewer: Viewer,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    let caller = &viewer.by.caller;
    let mut reader = Reader::open(api.pool(), caller).await?;
    let offered = offered(&mut reader, caller).await?;
    let mut misread = Misread::default();
    let filter = read(&shown, &mut misread, &mut reader, caller).await?;
    drop(reader);
    let before: Option<i64> = decode(shown.cursor.as_deref())?;
    let rows = if misread.is_empty() {
        Some(syncs(api.pool(), caller, &filter, Order::NewestFirst, before, SHOWN).await?.page())
    } else {
        None
    };
    let body = html! {
        h1 { "Audit" }
        (fields(&shown, &misread, &offered))
        (histories(filter.target_id, filter.listing_id))
        @if filter.called_since.is_some() {
            p.quiet { "Calls of health checks and of looks for drift are no sync's, and not among these." }
        }
        @match &rows {
            None => (Misread::instead()),
            Some(rows) => {
                @if rows.items.is_empty() && rows.next_cursor.is_some() { (empty("No sync like that among the newest", "Older ones are on the next pages: so many are looked through for each.")) }
                @else if rows.items.is_empty() { (empty("No sync like that", "Every sync that is asked for has its row here, also those that had nothing to send.")) }
                @else { (table(&rows.items, Ways::of(caller))) }
                (next_page("/audit", &shown.typed(), rows.next_cursor.as_deref()))
                p.quiet { "All that matches, as a file: " a href=(export("csv", &filter)) download="audit.csv" { "CSV" } ", "
                    a href=(export("ndjson", &filter)) download="audit.ndjson" { "NDJSON" } }
            }
        }
    };
    Ok(misread.marked(Page { title: "Audit", place: "/audit", topic: None, body }.show(&viewer)))
}

/// Who did what to the target and the listing that are asked for.
fn histories(target: Option<Uuid>, listing: Option<Uuid>) -> Markup {
    html! {
        @if let Some(id) = target { p { a href=(of_target(id)) { "History of the target" } } }
        @if let Some(id) = listing { p { a href=(of_listing(id)) { "History of the listing" } } }
    }
}

impl Shown {
    /// Each field as it was typed.
    fn typed(&self) -> [(&'static str, Option<&str>); 12] {
        [
            ("account_id", given(&self.account_id)),
            ("target_id", given(&self.target_id)),
            ("listing_id", given(&self.listing_id)),
            ("unit_id", given(&self.unit_id)),
            ("outcome", given(&self.outcome)),
            ("class", given(&self.class)),
            ("cause", given(&self.cause)),
            ("trace_id", given(&self.trace_id)),
            ("since", given(&self.since)),
            ("until", given(&self.until)),
            ("ended_since", given(&self.ended_since)),
            ("called_since", given(&self.called_since)),
        ]
    }
}

async fn read(
    shown: &Shown,
    misread: &mut Misread,
    reader: &mut PgConnection,
    caller: &Caller,
) -> Result<Filter, sqlx::Error> {
    let target_id = match given(&shown.target_id) {
        Some(text) => misread.take("target_id", named(reader, caller, text).await?),
        None => None,
    };
    let no_listing = |_| "is no id of a listing".to_owned();
    Ok(Filter {
        account_id: misread.read("account_id", &shown.account_id, account),
        target_id,
        listing_id: misread.read("listing_id", &shown.listing_id, |text| text.parse().map_err(no_listing)),
        unit_id: given(&shown.unit_id).map(str::to_owned),
        outcome: misread.read("outcome", &shown.outcome, |text| one_of(text, &asked_outcomes())),
        class: misread.read("class", &shown.class, |text| one_of(text, &classes())),
        cause: misread.read("cause", &shown.cause, |text| one_of(text, &CAUSES)),
        trace_id: misread.read("trace_id", &shown.trace_id, trace),
        since: misread.read("since", &shown.since, time),
        until: misread.read("until", &shown.until, time),
        ended_since: misread.read("ended_since", &shown.ended_since, time),
        called_since: misread.read("called_since", &shown.called_since, time),
    })
}

fn account(text: &str) -> Result<AccountId, String> {
    text.parse().map_err(|wrong: InvalidName| wrong.to_string())
}

fn trace(text: &str) -> Result<TraceId, String> {
    let wrong = || "is no trace's id: give 32 of the digits 0-9 a-f, or a whole traceparent".to_owned();
    traces::named(text).and_then(|id| id.parse().ok()).ok_or_else(wrong)
}

fn fields(shown: &Shown, misread: &Misread, offered: &[Offered]) -> Markup {
    let time = ("20", Some("2026-11-28 13:00"));
    html! { form.filter method="get" action="/audit" {
        (misread.choice("outcome", "Outcome", &shown.outcome, (&asked_outcomes(), "any")))
        (misread.choice("class", "Last attempt, or a call", &shown.class, (&classes(), "any")))
        (misread.choice("cause", "Cause", &shown.cause, (&CAUSES, "any")))
        (misread.text("account_id", "Account", &shown.account_id, ("10", None)))
        (misread.target(&shown.target_id, offered))
        (misread.text("unit_id", "Unit", &shown.unit_id, ("14", None)))
        (misread.text("trace_id", "Trace", &shown.trace_id, ("20", Some("id or traceparent"))))
        (misread.text("since", "Since (UTC)", &shown.since, time))
        (misread.text("until", "Until (UTC)", &shown.until, time))
        @if given(&shown.ended_since).is_some() { (misread.text("ended_since", "Ended since (UTC)", &shown.ended_since, time)) }
        @if given(&shown.called_since).is_some() { (misread.text("called_since", "With a call since (UTC)", &shown.called_since, time)) }
        @if given(&shown.listing_id).is_some() { (misread.text("listing_id", "Listing", &shown.listing_id, ("36", None))) }
        button { "Show" }
    } }
}

/// What the API takes, which knows no other forms of a time, a target or a trace than its own.
fn export(format: &str, filter: &Filter) -> String {
    let time = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    let id = |id: Option<Uuid>| id.map(|id| id.to_string());
    let pairs = [
        ("account_id", filter.account_id.as_ref().map(ToString::to_string)),
        ("target_id", id(filter.target_id)),
        ("listing_id", id(filter.listing_id)),
        ("unit_id", filter.unit_id.clone()),
        ("outcome", filter.outcome.clone()),
        ("class", filter.class.clone()),
        ("cause", filter.cause.clone()),
        ("trace_id", filter.trace_id.as_ref().map(|trace| trace.as_str().to_owned())),
        ("since", time(filter.since)),
        ("until", time(filter.until)),
        ("ended_since", time(filter.ended_since)),
        ("called_since", time(filter.called_since)),
        ("format", Some(format.to_owned())),
    ];
    let given = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    format!("/api/channels/audit/export?{query}")
}

/// Syncs as rows.
pub(super) fn table(syncs: &[Sync], ways: Ways) -> Markup {
    rows(syncs, ways, syncs.len())
}

/// The same with so many rows, those that are empty too: where others come, nothing moves. Rows have no id, so that a row of
/// the page stays where it is and gets other words.
pub(super) fn places(syncs: &[Sync], ways: Ways, places: usize) -> Markup {
    rows(syncs, ways, places)
}

fn rows(syncs: &[Sync], ways: Ways, places: usize) -> Markup {
    html! { div.scroll { table.syncs {
        thead { tr {
            th.at { "Asked for" } th.unit { "Unit" } th.outcome { "Outcome" } th.target.wide { "Target" } th.cause.wide { "Because" }
            th.sections.wide { "Sections" } th.calls.number.wide { "Calls" } th.took.number title="from the request to the end" { "After" } th.id.wide { "Sync" }
        } }
        tbody {
            @for sync in syncs {
                (row(sync, ways))
                // Where there is no room beside it.
                tr.below { td colspan="4" {
                    (sync_link(sync.sync_id)) " · " (target(sync, ways)) " · " (words(&sync.cause))
                    @if !sync.needs.is_empty() { " · " (sync.needs.join(", ")) }
                } }
            }
            @for _ in syncs.len()..places { tr.blank aria-hidden="true" { td {} } tr.below.blank aria-hidden="true" { td {} } }
        }
    } } }
}

fn target(sync: &Sync, ways: Ways) -> Markup {
    ways.target(sync.target_id, sync.target_name.as_deref().unwrap_or("target"))
}

fn row(sync: &Sync, ways: Ways) -> Markup {
    html! { tr data-sync=(sync.sync_id) {
        td { (moment(sync.requested_at)) }
        td.unit { span { (ways.listing(sync.listing_id, sync.unit_id.as_deref().unwrap_or("listing"))) } }
        td { (state(&sync.outcome)) }
        td.wide { (target(sync, ways)) }
        td.wide { (words(&sync.cause)) }
        td.wide { (sync.needs.join(", ")) }
        td.number.wide { (sync.calls) }
        td.number { @if let Some(end) = sync.finished_at { (span((end - sync.requested_at).num_milliseconds())) } @else { span.quiet { "…" } } }
        td.wide { (sync_link(sync.sync_id)) }
    } }
}
