//! Messages that could not be used, what may be done about them, and what was.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::access::{Accounts, Permission};
use domain::ids::UnitId;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::layout::{Page, Viewer};
use super::live::Part;
use super::pieces::{empty, moment, moment_or, next_page};
use super::traces::trace;
use super::ways::Ways;
use crate::api::Api;
use crate::api::by::By;
use crate::api::dead_letters::{self, Letter, LettersQuery, cursor_of};
use crate::api::input::{Id, Query};
use crate::api::problem::Problem;
use crate::api::reader::Reader;
use crate::dead_letters::{Decided, decided};

/// Decisions that are shown.
const DECISIONS: i64 = 20;

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    cursor: Option<String>,
}

/// The oldest first. The first page is live.
pub(super) async fn page(
    State(api): State<Api>,
    viewer: Viewer,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    let first = shown.cursor.is_none();
    let mut parts = vec![letters(&api, &viewer, shown.cursor).await?];
    if first {
        parts.push(decisions(&api, &viewer.by).await?);
    }
    let body = html! { h1 { "Dead letters" } div.beside[first] { @for part in &parts { (part.section()) } } };
    let topic = first.then(|| "dead-letters".to_owned());
    Ok(Page { title: "Dead letters", place: "/dead-letters", topic, body }.show(&viewer))
}

/// What of it is live.
pub(super) async fn parts(api: &Api, by: &By) -> Result<Vec<Part>, Problem> {
    let viewer = Viewer::shared(by.clone());
    Ok(vec![letters(api, &viewer, None).await?, decisions(api, by).await?])
}

async fn letters(api: &Api, viewer: &Viewer, cursor: Option<String>) -> Result<Part, Problem> {
    let query = LettersQuery::page(cursor);
    let Json(found) = dead_letters::list(State(api.clone()), viewer.by.clone(), Query(query)).await?;
    let hint = if viewer.by.caller.accounts == Accounts::All {
        "A message that breaks the contract of units ends here, with every problem that it has."
    } else {
        "A message names its organisation and not always an account: only those who have all accounts see them."
    };
    let content = html! {
        @if found.items.is_empty() { (empty("No dead letters", hint)) }
        @else { ol.letters { @for letter in &found.items { (one(viewer, letter)) } } }
        (next_page("/dead-letters", &[], found.next_cursor.as_deref()))
    };
    Ok(Part::new("letters", "To be decided, the oldest first", content))
}

async fn decisions(api: &Api, by: &By) -> Result<Part, Problem> {
    let mut reader = Reader::open(api.pool(), &by.caller).await?;
    let decided = decided(&mut reader, Some(&by.caller.org_id), None, DECISIONS).await?;
    let content = if decided.is_empty() {
        empty(
            "Nothing was decided yet",
            "Who sends a letter again or throws it away stands here, with what was wrong with it.",
        )
    } else {
        html! {
            // What comes live is announced here: it would push down what one reads.
            p.news role="status" data-of="decision" {}
            ol.rows.decided { @for decision in &decided { (decision_told(decision)) } }
        }
    };
    // Short, as what announces new ones stands beside it, also where there is little room.
    Ok(Part::new("decisions", "Decided", content))
}

fn decision_told(decision: &Decided) -> Markup {
    let what = match (decision.decision.as_str(), decision.done) {
        ("replayed", Some(false)) => "was to be sent again, in vain,",
        ("replayed", _) => "was sent again",
        (_, Some(false)) => "was to be thrown away, in vain,",
        _ => "was thrown away",
    };
    let problems = decision.problems.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |problem: &Value, name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    html! { li #(format!("decision-{}", decision.decision_id)) {
        (moment(decision.decided_at)) " letter " (decision.number) " " strong { (what) } " by " (decision.decided_by) " "
        code.quiet { (decision.subject) }
        @if !problems.is_empty() { details { summary { "What was wrong with it" } ul {
            @for problem in problems { li { code { (text(problem, "field")) } " " (text(problem, "reason")) } }
        } } }
    } }
}

/// Where a letter is to be decided about.
pub(super) fn place(letter: &Letter) -> String {
    place_of(letter.number)
}

/// The same of the letter with this number.
pub(super) fn place_of(number: u64) -> String {
    format!("/dead-letters?cursor={}#letter-{number}", cursor_of(number))
}

/// Letters as a list that leads there.
pub(super) fn found(letters: &[Letter]) -> Markup {
    html! { ol.rows { @for letter in letters { li {
        a href=(place(letter)) { "Letter " (letter.number) } " " (moment_or(letter.at, "at an unknown time")) " " code { (letter.subject) }
        @if let Some(problem) = letter.problems.first() { " " span.quiet { (problem.field) " " (problem.reason) } }
    } } } }
}

fn one(viewer: &Viewer, letter: &Letter) -> Markup {
    let path = |verb: &str| format!("/dead-letters/{}/{verb}", letter.number);
    let (ways, unit) = (Ways::of(&viewer.by.caller), letter.unit.as_ref().map(UnitId::as_str));
    html! { li #(format!("letter-{}", letter.number)) {
        h3 { "Letter " (letter.number) " " span.quiet { (moment_or(letter.at, "at an unknown time")) } }
        p {
            code { (letter.subject) }
            @if let Some(id) = &letter.trace_id { " " span.quiet { "trace " (trace(None, id)) } }
            @if let Some(way) = unit.and_then(|unit| ways.unit(unit)) { " " a href=(way) { "its unit's listings" } }
        }
        ul { @for problem in &letter.problems { li { code { (problem.field) } " " (problem.reason) } } }
        details { summary { "Its body" } pre tabindex="0" { code { (letter.body) } } }
        @if viewer.may(Permission::WriteDeadLetters) { div.actions {
            (viewer.form(&path("replay"), &html! { button { "Send again" } }))
            (viewer.action(&path("discard"), "Throw away…", &html! { p { "It is gone for good." } button.strong { "Throw away" } }))
        } }
    } }
}

pub(super) async fn replay(State(api): State<Api>, viewer: Viewer, Id(number): Id<u64>) -> Result<Response, Problem> {
    dead_letters::replay(State(api), viewer.by, Id(number)).await?;
    Ok(Redirect::to("/dead-letters").into_response())
}

pub(super) async fn discard(State(api): State<Api>, viewer: Viewer, Id(number): Id<u64>) -> Result<Response, Problem> {
    dead_letters::discard(State(api), viewer.by, Id(number)).await?;
    Ok(Redirect::to("/dead-letters").into_response())
}
