//! The audit: every sync, with filters, and the way to export them.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::ids::{AccountId, InvalidName, InvalidTraceId, TraceId};
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::layout::{Page, Viewer};
use super::pieces::{empty, moment, next_page, options, span, state, sync_link, words};
use super::ways::Ways;
use crate::api::Api;
use crate::api::audit::{Filter, Order, syncs};
use crate::api::input::Query;
use crate::api::page::decode;
use crate::api::problem::Problem;
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
    cursor: Option<String>,
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn account(text: &Option<String>) -> Result<Option<AccountId>, Problem> {
    let wrong = |wrong: InvalidName| Problem::field("account_id", wrong.to_string());
    given(text).map(|text| text.parse().map_err(wrong)).transpose()
}

fn id(field: &str, text: &Option<String>) -> Result<Option<Uuid>, Problem> {
    given(text).map(|text| text.parse().map_err(|_| Problem::field(field, "is no id"))).transpose()
}

fn time(field: &str, text: &Option<String>) -> Result<Option<DateTime<Utc>>, Problem> {
    let wrong = |_| Problem::field(field, "is no time: give one such as 2026-11-28T13:00:00Z");
    let read = |text: &str| DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).map_err(wrong);
    given(text).map(read).transpose()
}

fn trace(text: &Option<String>) -> Result<Option<TraceId>, Problem> {
    let wrong = |_: InvalidTraceId| Problem::field("trace_id", "is no trace's id: give 32 of the digits 0-9 a-f");
    given(text).map(|text| text.parse().map_err(wrong)).transpose()
}

/// Syncs, the newest first.
pub(super) async fn page(
    State(api): State<Api>,
    viewer: Viewer,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    let filter = Filter {
        account_id: account(&shown.account_id)?,
        target_id: id("target_id", &shown.target_id)?,
        listing_id: id("listing_id", &shown.listing_id)?,
        unit_id: given(&shown.unit_id).map(str::to_owned),
        outcome: given(&shown.outcome).map(str::to_owned),
        class: given(&shown.class).map(str::to_owned),
        cause: given(&shown.cause).map(str::to_owned),
        trace_id: trace(&shown.trace_id)?,
        since: time("since", &shown.since)?,
        until: time("until", &shown.until)?,
        ended_since: time("ended_since", &shown.ended_since)?,
    };
    let before: Option<i64> = decode(shown.cursor.as_deref())?;
    let rows = syncs(api.pool(), &viewer.by.caller, &filter, Order::NewestFirst, before, SHOWN).await?.page();
    let query = [
        ("account_id", given(&shown.account_id)),
        ("target_id", given(&shown.target_id)),
        ("listing_id", given(&shown.listing_id)),
        ("unit_id", given(&shown.unit_id)),
        ("outcome", given(&shown.outcome)),
        ("class", given(&shown.class)),
        ("cause", given(&shown.cause)),
        ("trace_id", given(&shown.trace_id)),
        ("since", given(&shown.since)),
        ("until", given(&shown.until)),
        ("ended_since", given(&shown.ended_since)),
    ];
    let body = html! {
        h1 { "Audit" }
        (filters(&shown))
        @if rows.items.is_empty() && rows.next_cursor.is_some() { (empty("No sync like that among the newest", "Older ones are on the next pages: so many are looked through for each.")) }
        @else if rows.items.is_empty() { (empty("No sync like that", "Every sync that is asked for has its row here, also those that had nothing to send.")) }
        @else { (table(&rows.items, Ways::of(&viewer.by.caller))) }
        (next_page("/audit", &query, rows.next_cursor.as_deref()))
        p.quiet { "All that matches, as a file: " a href=(export("csv", &query)) download="audit.csv" { "CSV" } ", "
            a href=(export("ndjson", &query)) download="audit.ndjson" { "NDJSON" } }
    };
    Ok(Page { title: "Audit", place: "/audit", topic: None, body }.show(&viewer))
}

fn filters(shown: &Shown) -> Markup {
    html! { form.filter method="get" action="/audit" {
        label { "Outcome " select name="outcome" { (options(&asked_outcomes(), given(&shown.outcome), "any")) } }
        label { "With an attempt that was " select name="class" { (options(&classes(), given(&shown.class), "any")) } }
        label { "Cause " select name="cause" { (options(&CAUSES, given(&shown.cause), "any")) } }
        label { "Account " input name="account_id" value=[given(&shown.account_id)] size="10"; }
        label { "Unit " input name="unit_id" value=[given(&shown.unit_id)] size="14"; }
        label { "Trace " input name="trace_id" value=[given(&shown.trace_id)] size="20"; }
        @for (name, value) in [("since", &shown.since), ("until", &shown.until)] {
            label { (words(name)) " " input name=(name) value=[given(value)] size="20" placeholder="2026-11-28T13:00:00Z"; }
        }
        @for (name, value) in [("target_id", &shown.target_id), ("listing_id", &shown.listing_id), ("ended_since", &shown.ended_since)] {
            @if let Some(value) = given(value) {
                label { (words(name)) " " input name=(name) value=(value) size="36"; }
            }
        }
        button { "Show" }
    } }
}

fn export(format: &str, query: &[(&str, Option<&str>)]) -> String {
    let given = query.iter().filter_map(|(name, value)| value.map(|value| (*name, value)));
    let pairs = given.chain([("format", format)]);
    format!(
        "/api/channels/audit/export?{}",
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    )
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
            th.at { "Asked for" } th.unit { "Unit" } th.outcome { "Outcome" } th.wide { "Target" } th.cause.wide { "Because" }
            th.wide { "Sections" } th.calls.number.wide { "Calls" } th.took.number title="from the request to the end" { "After" } th.id.wide { "Sync" }
        } }
        tbody {
            @for sync in syncs {
                (row(sync, ways))
                // Where there is no room beside it.
                tr.below { td colspan="4" { (sync_link(sync.sync_id)) " · " (target(sync, ways)) " · " (words(&sync.cause)) } }
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
        td { (ways.listing(sync.listing_id, sync.unit_id.as_deref().unwrap_or("listing"))) }
        td { (state(&sync.outcome)) }
        td.wide { (target(sync, ways)) }
        td.wide { (words(&sync.cause)) }
        td.wide { (sync.needs.join(", ")) }
        td.number.wide { (sync.calls) }
        td.number { @if let Some(end) = sync.finished_at { (span((end - sync.requested_at).num_milliseconds())) } @else { span.quiet { "…" } } }
        td.wide { (sync_link(sync.sync_id)) }
    } }
}
