//! The overview: whether all is well, at a glance, and what is going on.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::{DateTime, Utc};
use domain::access::Permission;
use domain::counted::{agreeing, counted};
use maud::{Markup, html};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::layout::{Page, Viewer};
use super::live::Part;
use super::needs::{self, Need, needs};
use super::pieces::{age, empty, moment, number, state};
use super::trouble::{self, Trouble, troubles};
use super::ways::{Ways, led, minute};
use super::{Dashboard, audit, levels, plots};
use crate::api::audit::{Filter, Order, syncs};
use crate::api::by::By;
use crate::api::problem::Problem;
use crate::api::reader::{Reader, account_filter};
use crate::views::activity::Activity;
use crate::views::audit::FAILED;
use crate::views::circuit::OpenCircuit;
use crate::views::fleet;
use crate::views::queue::{BEHIND_SINCE, PAUSED, PausedTargets, paused_targets};
use crate::views::read_model_lag;
use crate::views::said::said;
use crate::views::service_levels::ServiceLevels;

/// Syncs that are shown.
const SYNCS: u8 = 12;
/// Targets that are shown with what is wrong.
const TARGETS: i64 = 8;
/// Rows of the queue that are counted at the most.
const COUNTED: i64 = 10_000;

/// The page; an Analyst, who sees the audit alone, is led there.
pub(super) async fn page(State(dashboard): State<Dashboard>, viewer: Viewer) -> Result<Response, Problem> {
    if !viewer.may(Permission::ReadTargets) {
        return Ok(Redirect::to("/audit").into_response());
    }
    let parts = parts(&dashboard, &viewer.by).await?;
    let body = html! {
        h1 { "Overview " span.quiet { (viewer.by.caller.org_id) } }
        @for part in &parts { (part.section()) }
    };
    Ok(Page { title: "Overview", place: "/", topic: Some("overview".to_owned()), body }.show(&viewer))
}

/// What of it is live.
pub(super) async fn parts(dashboard: &Dashboard, by: &By) -> Result<Vec<Part>, Problem> {
    let (api, ways) = (&dashboard.api, Ways::of(&by.caller));
    let levels = dashboard.live.levels.of(api, by).await?;
    let paused = paused_targets(api.pool(), &by.caller.org_id, account_filter(&by.caller)).await?;
    let troubles = troubles(api.transport(), read_model_lag::since(api.pool()).await?, Utc::now());
    let mut reader = Reader::open(api.pool(), &by.caller).await?;
    let health = by_health(&mut reader).await?;
    let queue = queue(&mut reader, by).await?;
    let needs = needs(api, &mut reader, &by.caller, &levels).await?;
    let attention = attention(&mut reader, paused, &troubles, &needs).await?;
    let now = Utc::now();
    let minutes = plots::minutes(&mut reader, by, now).await?;
    let moves = match minutes.first() {
        Some(first) => fleet::moves(&mut reader, &by.caller.org_id, first.at).await?,
        None => Vec::new(),
    };
    let healths = fleet::told_back(minutes.iter().map(|minute| minute.at), sums(&health), &moves);
    drop(reader);
    let recent = syncs(api.pool(), &by.caller, &Filter::default(), Order::NewestFirst, None, SYNCS.into()).await?.syncs;
    let recent = if recent.is_empty() {
        empty("No sync yet", "Make a target, link a unit, publish it: its first sync shows here within two seconds.")
    } else {
        audit::places(&recent, ways, SYNCS.into())
    };
    Ok(vec![
        Part::new("figures", "Now", figures(&health, &queue, &minutes, &levels, ways)),
        Part::new("levels", "Service levels", levels::show(&levels, ways)),
        Part::new("attention", "What needs somebody", attention),
        Part::new("recent", "Latest syncs", recent),
        Part::new("plots", "The last three hours", plots::show(&minutes, queue.waiting(), &healths, now)),
    ])
}

#[derive(Debug, FromRow)]
struct HealthCount {
    health: String,
    lifecycle: String,
    count: i64,
}

const BY_HEALTH: &str = "
SELECT health, lifecycle, count(*) AS count FROM channel_targets
WHERE lifecycle <> 'deleted' GROUP BY health, lifecycle";

async fn by_health(reader: &mut PgConnection) -> Result<Vec<HealthCount>, sqlx::Error> {
    sqlx::query_as(BY_HEALTH).fetch_all(reader).await
}

fn sums(health: &[HealthCount]) -> BTreeMap<String, i64> {
    health.iter().fold(BTreeMap::new(), |mut sums, row| {
        *sums.entry(row.health.clone()).or_default() += row.count;
        sums
    })
}

#[derive(Debug, FromRow)]
struct QueueDepth {
    count: i64,
    oldest: Option<DateTime<Utc>>,
}

impl QueueDepth {
    fn waiting(&self) -> plots::Waiting {
        plots::Waiting { count: self.count, more: self.count == COUNTED, since: self.oldest }
    }
}

/// Counted up to a bound: how many more there are than that makes no difference to anybody. Those that are due first are
/// counted, so that the oldest is among them unless it was put off, or is due anew by a later change.
async fn queue(reader: &mut PgConnection, by: &By) -> Result<QueueDepth, sqlx::Error> {
    let statement = format!(
        "SELECT count(*) AS count, min(behind_since) AS oldest FROM (
             SELECT {BEHIND_SINCE} AS behind_since FROM sync_queue AS q WHERE org_id = $1 ORDER BY due_at LIMIT $2
         ) AS counted"
    );
    sqlx::query_as(&statement).bind(by.caller.org_id.as_str()).bind(COUNTED).fetch_one(reader).await
}

fn figures(
    health: &[HealthCount],
    queue: &QueueDepth,
    minutes: &[Activity],
    levels: &ServiceLevels,
    ways: Ways,
) -> Markup {
    // As in the level, which is some seconds older: two numbers of one thing would only differ.
    let (throttled, calls) = levels::throttled(levels);
    let ten = Activity::sum(&minutes[minutes.len().saturating_sub(10)..]);
    let of_failed = ways.audit(&[("outcome", FAILED), ("ended_since", minute(ten.at).as_str())]);
    let of_queue = ways.listings(&[("outcome", "pending")]);
    let of_throttled = levels::of_throttled(levels.at, ways);
    let of = |name: &str| health.iter().filter(|row| row.health == name).map(|row| row.count).sum::<i64>();
    let paused: i64 = health.iter().filter(|row| row.lifecycle == "paused").map(|row| row.count).sum();
    let more = if queue.waiting().more { "+" } else { "" };
    let quiet = |count: i64| if count == 0 { "none" } else { "some" };
    html! {
        dl.figures {
            @for name in ["healthy", "degraded", "unreachable", "unauthorised", "unknown"] {
                @let count = of(name);
                div.(quiet(count)) {
                    dt { (state(name)) }
                    dd { a href=(format!("/targets?health={name}")) aria-label=(format!("{} {} {name}", counted(count, "target"), agreeing(count, "is", "are"))) { (number(count)) } }
                }
            }
            @let says = format!("{} {} paused", counted(paused, "target"), agreeing(paused, "is", "are"));
            div.(quiet(paused)) { dt { (state("paused")) } dd { (led(Some("/targets?state=paused"), &says, &html! { (number(paused)) })) } }
        }
        dl.figures {
            @let says = format!("{}{more} in the queue", counted(queue.count, "sync"));
            div { dt { "Queue" } dd { (led(of_queue.as_deref(), &says, &html! { (number(queue.count)) (more) })) } }
            div { dt { "Oldest has waited" } dd { @match queue.oldest { Some(at) => { (age(at, Utc::now())) (more) }, None => "–" } } }
            div { dt { "Accepted in 10 min" } dd { (number(ten.accepted)) } }
            @let says = format!("{} failed", counted(ten.failed, "sync"));
            div.(quiet(ten.failed)) { dt { "Failed in 10 min" } dd { (led(of_failed.as_deref(), &says, &html! { (number(ten.failed)) })) (part_of(ten.finished, "")) } }
            @let says = format!("syncs of {} with 429", counted(throttled, "answer"));
            div.(quiet(throttled)) { dt { "429s in 10 min" } dd { (led(of_throttled.as_deref(), &says, &html! { (number(throttled)) })) (part_of(calls, agreeing(calls, " call", " calls"))) } }
        }
    }
}

fn part_of(all: i64, what: &str) -> Markup {
    html! { @if all > 0 { " " span.of { "of " (number(all)) (what) } } }
}

#[derive(Debug, FromRow)]
struct Attention {
    target_id: Uuid,
    name: String,
    health: String,
    lifecycle: String,
    lifecycle_reason: Option<String>,
    since: DateTime<Utc>,
    reason: Option<String>,
    /// Failures in a row, where its circuit is open.
    failures: Option<i32>,
    /// How many targets there are of which one of these things is so.
    count: i64,
}

impl Attention {
    fn why(&self) -> Option<String> {
        let reason = self.lifecycle_reason.as_ref().or(self.reason.as_ref()).map(|reason| said(reason).to_owned());
        // When the next check is due stands on its own page: no reader sees the checks that are due.
        let left_alone = self.failures.map(|failures| OpenCircuit { failures, next_check_at: None }.words());
        let both: Vec<String> = reason.into_iter().chain(left_alone).collect();
        (!both.is_empty()).then(|| both.join("; "))
    }
}

/// The few first, and only then what is known of each: Postgres thinks that a reader sees few rows, and would compare all
/// targets with all of their health.
const ATTENTION: &str = "
WITH circuits AS MATERIALIZED (SELECT target_id, failures FROM dispatch_circuits WHERE opened > 0),
seen AS (
    SELECT target_id, name, health, lifecycle, lifecycle_reason, health_since,
        health IN ('unauthorised', 'unreachable', 'degraded') AS ill,
        lifecycle = 'active' AND health <> 'unauthorised' AND target_id IN (SELECT target_id FROM circuits) AS open
    FROM channel_targets WHERE lifecycle <> 'deleted'
),
few AS MATERIALIZED (
    SELECT *, CASE WHEN health = 'unauthorised' THEN 1 WHEN health = 'unreachable' OR open THEN 2
        WHEN health = 'degraded' THEN 3 END AS rank, count(*) OVER () AS count
    FROM seen WHERE ill OR open OR lifecycle = 'paused'
    ORDER BY rank NULLS LAST, health_since DESC LIMIT $1
)
SELECT few.target_id, few.name, few.health, few.lifecycle, few.lifecycle_reason, few.count,
    CASE WHEN few.ill THEN few.health_since WHEN few.open THEN coalesce((
        SELECT p.opened_at FROM circuit_openings AS p WHERE p.target_id = few.target_id AND p.closed_at IS NULL), few.health_since)
    ELSE coalesce((
        SELECT max(e.recorded_at) FROM events AS e WHERE e.aggregate_type = 'ChannelTarget'
            AND e.aggregate_id = few.target_id::text AND e.event_type = 'TargetPaused'), few.health_since)
    END AS since,
    (SELECT CASE WHEN few.ill THEN coalesce(h.reason, h.last_error) ELSE h.last_error END
     FROM target_health AS h WHERE h.target_id = few.target_id) AS reason,
    (SELECT c.failures FROM circuits AS c WHERE few.open AND c.target_id = few.target_id) AS failures
FROM few ORDER BY few.rank NULLS LAST, few.health_since DESC";

/// What all of the service suffers from, what waits for somebody, the targets that need one, and below them how many wait for a
/// channel, which nobody needs to end. It has one height, so that nothing moves when something of it comes or goes.
async fn attention(
    reader: &mut PgConnection,
    paused: Option<PausedTargets>,
    troubles: &[Trouble],
    needs: &[Need],
) -> Result<Markup, sqlx::Error> {
    let rows: Vec<Attention> = sqlx::query_as(ATTENTION).bind(TARGETS).fetch_all(reader).await?;
    Ok(html! { div {
        div role="status" { (trouble::show(troubles)) }
        @if !troubles.is_empty() {
            p.quiet {
                @if rows.is_empty() { "No target needs anybody, as far as is known here. " }
                code { "distribution doctor" } " says what to do."
            }
        }
        // Where NATS is away, or something is behind, there is no room to spare.
        @if !needs.is_empty() || (troubles.is_empty() && !rows.is_empty()) { (needs::show(needs)) }
        @if let Some(first) = rows.first() {
            (table(&rows))
            @let more = first.count.saturating_sub(TARGETS);
            @if more > 0 { p.quiet { "And " (counted(more, "more target")) ": " a href="/targets" { "all targets" } "." } }
        }
        @else if troubles.is_empty() && needs.is_empty() {
            (empty("No target needs anybody", "Each of them answers, and nobody has paused one. Nothing else waits for somebody."))
        } @else if troubles.is_empty() { p.quiet { "No target needs anybody." } }
        @if let Some(PausedTargets { count, until }) = paused {
            p { (state(PAUSED)) ": " (counted(count, "target")) ", until " (moment(until)) ", when calls go on by themselves" }
        }
    } })
}

fn table(rows: &[Attention]) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label="Table of targets that need somebody" { table.needy {
        thead { tr { th.name { "Target" } th.health { "Health" } th.at { "Since" } th.wide { "Why" } } }
        tbody { @for row in rows {
            tr #(format!("target-{}", row.target_id)) {
                td.named { a href=(format!("/targets/{}", row.target_id)) { (row.name) } }
                td {
                    (state(&row.health)) @if row.lifecycle == "paused" { " " (state("paused")) }
                    @if row.failures.is_some() { " " (state("circuit open")) }
                }
                td { (moment(row.since)) }
                td.wide { @if let Some(why) = row.why() { (why) } }
            }
            // Where there is no room beside it.
            @if let Some(why) = row.why() { tr.below #(format!("why-{}", row.target_id)) { td colspan="3" { (why) } } }
        } }
    } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_target_needs_somebody_tells_of_its_open_circuit_too() {
        let why = |reason: Option<&str>, failures| {
            let (reason, lifecycle_reason) = (reason.map(str::to_owned), None);
            let (name, health, lifecycle) = ("Bali".to_owned(), "unreachable".to_owned(), "active".to_owned());
            let since = DateTime::UNIX_EPOCH;
            Attention {
                target_id: Uuid::nil(),
                name,
                health,
                lifecycle,
                lifecycle_reason,
                since,
                reason,
                failures,
                count: 1,
            }
            .why()
        };
        assert_eq!(why(None, None), None);
        assert_eq!(why(Some("no answer."), None).as_deref(), Some("no answer"));
        let circuit =
            "5 attempts and checks of the target failed in a row, and it is left alone until a check is answered";
        assert_eq!(why(None, Some(5)).as_deref(), Some(circuit));
        assert_eq!(why(Some("no answer."), Some(5)), Some(format!("no answer; {circuit}")));
    }
}
