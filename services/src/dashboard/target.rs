//! One target: its window, its queue, its errors, its health, its settings and what became of them.

mod actions;
mod errors;
mod history;
mod window;
mod work;

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use domain::ids::TargetId;
use domain::target::NEEDS_CREDENTIALS;
use maud::{Markup, html};
use sqlx::PgConnection;
use uuid::Uuid;

use super::history::of_target as all_of;
use super::layout::{Page, Viewer};
use super::live::Part;
use super::pieces::{ago, empty, moment, moment_or, span, state, told, words};
use super::ways::Ways;
use crate::api::Api;
use crate::api::by::By;
use crate::api::input::Id;
use crate::api::problem::Problem;
use crate::api::reader::Reader;
use crate::api::targets::{Target, get};
use crate::views::by::with;
use crate::views::circuit::{self, OpenCircuit};
use crate::views::health::{self, HealthCheck};
use crate::views::login;
use crate::views::queue::{Closed, LOGIN};
use crate::views::targets::shown_health;
use crate::views::windows::{self, ScopeWindow};

pub(super) use actions::{check, pause, resume, rotate};

/// Changes of health that are shown.
const CHANGES: i64 = 12;
/// Checks that are shown.
const CHECKS: i64 = 6;

/// The page.
pub(super) async fn page(State(api): State<Api>, viewer: Viewer, Id(id): Id<Uuid>) -> Result<Response, Problem> {
    let target = get(State(api.clone()), viewer.by.clone(), Id(id)).await?.1;
    let mut reader = Reader::open(api.pool(), &viewer.by.caller).await?;
    let changes = history::changes(&mut reader, id).await?;
    drop(reader);
    let parts = parts(&api, &viewer.by, &target).await?;
    let body = html! {
        p.trail { a href="/targets" { "Targets" } }
        h1 { (target.name) }
        (actions::part(&viewer, &target).alone())
        @for part in &parts { (part.section()) }
        section { h2 { "Settings" } (settings(&target)) }
        section { h2 { "What was changed" } (history::list(&changes))
            p { a href=(all_of(id)) { "All that was done, with the credentials, and who had it looked at" } }
        }
        p { a href=(format!("/listings?target_id={id}")) { "Its listings" } " · " a href=(format!("/audit?target_id={id}")) { "Its syncs" } }
    };
    Ok(Page { title: &target.name, place: "/targets", topic: Some(format!("target:{id}")), body }.show(&viewer))
}

/// What of it is live: what one may do, and the parts.
pub(super) async fn live(api: &Api, by: &By, id: Uuid) -> Result<Vec<Part>, Problem> {
    let target = get(State(api.clone()), by.clone(), Id(id)).await?.1;
    let mut live = vec![actions::part(&Viewer::shared(by.clone()), &target)];
    live.extend(parts(api, by, &target).await?);
    Ok(live)
}

async fn parts(api: &Api, by: &By, target: &Target) -> Result<Vec<Part>, Problem> {
    // No row of these is a reader's: checks that are due, addresses that everybody's calls leave from, logins that owners share.
    let circuit = circuit::open(api.pool(), TargetId(target.target_id)).await?;
    let login = login::wait(api.pool(), TargetId(target.target_id)).await?;
    let egress = windows::of_egress(api.pool()).await?;
    let mut reader = Reader::open(api.pool(), &by.caller).await?;
    let mut windows = window::of(&mut reader, target).await?;
    windows.extend(egress.into_iter().map(ScopeWindow::for_readers));
    let closed = Closed { paused_until: windows.iter().filter_map(|window| window.paused_until).max(), login };
    let queue = work::queue(&mut reader, target.target_id, &closed).await?;
    let errors = errors::show(&mut reader, target.target_id, Ways::of(&by.caller)).await?;
    let health = health_part(&mut reader, by, target).await?;
    Ok(vec![
        Part::new("now", "Now", now(target, circuit.as_ref(), &closed)),
        Part::new("window", "Windows, as the limiter sees them", window::show(&windows)),
        Part::new("queue", "Queue", queue),
        Part::new("errors", "Last 200 syncs: attempts that failed, and how syncs ended", errors),
        Part::new("health", "Health", health),
    ])
}

fn now(target: &Target, circuit: Option<&OpenCircuit>, closed: &Closed) -> Markup {
    html! {
        // Each fact has its place from the beginning, so that nothing below moves when it comes.
        dl.facts.still {
            div { dt { "Health" } dd { (state(shown_health(&target.health, &target.state))) } }
            div { dt { "State" } dd { (state(&target.state)) } }
            div { dt { "Account" } dd { (target.account_id) } }
            div { dt { "Channel" } dd { (target.channel) } }
            div.whole { dt { "What holds it" } dd.room { (held(target, circuit, closed)) } }
        }
    }
}

fn held(target: &Target, circuit: Option<&OpenCircuit>, closed: &Closed) -> Markup {
    match (target.state.as_str(), circuit) {
        (NEEDS_CREDENTIALS, circuit) => {
            html! { "Nothing is sent until somebody rotates its secret, resumes it, or checks it with success" (beside(circuit)) }
        }
        ("active", Some(circuit)) => html! { (state("circuit open")) ": " (told(&circuit.words())) },
        ("active", None) => match (closed.paused_until, closed.login) {
            (Some(until), _) => html! { "The channel asked for a pause until " (moment(until)) },
            (None, Some(login)) => html! { (state(LOGIN)) ": " (told(&login.words())) },
            (None, None) => html! { span.quiet { "nothing" } },
        },
        (other, circuit) => html! {
            (words(other)) @if let Some(why) = &target.lifecycle_reason { ": " (why) } (beside(circuit))
        },
    }
}

/// What holds it beside that, and is not over with it.
fn beside(circuit: Option<&OpenCircuit>) -> Markup {
    html! { @if let Some(circuit) = circuit { "; " (state("circuit open")) ": " (told(&circuit.words())) } }
}

async fn health_part(reader: &mut PgConnection, viewer: &By, target: &Target) -> Result<Markup, Problem> {
    let (id, org) = (TargetId(target.target_id), Some(&viewer.caller.org_id));
    let now = health::now(&mut *reader, id, org).await?;
    let changes = health::changes(&mut *reader, id, org, CHANGES).await?;
    let checks = health::checks(reader, id, org, CHECKS).await?;
    Ok(html! {
        @if let Some(now) = now { dl.facts {
            div { dt { "Last success" } dd { (moment_or(now.last_success_at, "none yet")) (of(now.last_success_of.as_deref())) } }
            div { dt { "Last failure of the target" } dd { (moment_or(now.last_failure_at, "none")) (of(now.last_failure_of.as_deref())) } }
            div { dt { "Sync attempts failed in a row" } dd { (now.consecutive_failures) } }
            div.whole { dt { "Last error" } dd.room { (now.last_error.as_deref().unwrap_or("none")) } }
        }
        p.quiet { "A sync that is refused for what is in it is an answer of the target, and no failure of it." } }
        @if changes.is_empty() { (empty("Its health has not changed", "The first call shows how it answers.")) }
        @else { ol.rows { @for change in &changes { li {
            (moment(change.at)) " " (state(&change.from_health)) " → " (state(&change.to_health)) " "
            span.quiet { (change.reason) }
        } } } }
        @if !checks.is_empty() { details open { summary { "Latest checks" } ol.rows { @for check in &checks { li {
            (moment(check.at)) " " (state(&check.class))
            @if let Some(status) = check.status { " " (status) }
            @if let Some(ms) = check.latency_ms { " in " (span(ms)) }
            " " span.quiet { "asked for by " (by(check)) @if let Some(detail) = &check.detail { ": " (detail) } }
        } } } } }
    })
}

fn by(check: &HealthCheck) -> String {
    with(&check.created_by, check.credential.as_deref(), check.credential_id.as_deref())
}

/// What a last success or failure was one of.
fn of(what: Option<&str>) -> Markup {
    html! { @if let Some(what) = what { " " span.quiet { "(" (what) ")" } } }
}

fn settings(target: &Target) -> Markup {
    html! { dl.facts {
        div.whole { dt { "Address" } dd { (target.base_url) } }
        div { dt { "Account at the channel" } dd { (target.channel_account) } }
        div { dt { "Limit" } dd { (target.rate_limit) } }
        div { dt { "Limit of the account" } dd { (target.account_rate_limit.as_deref().unwrap_or("none")) } }
        div { dt { "Secret" } dd { code { (target.credential) } } }
        @if let (Some(at), Some(by)) = (target.created_at, &target.created_by) {
            div { dt { "Made" } dd { (ago(at, Utc::now())) " by " (by) } }
        }
        div.whole { dt { "Version" } dd { (target.version) " " span.quiet { "(changes of its health count, too)" } } }
    } }
}
