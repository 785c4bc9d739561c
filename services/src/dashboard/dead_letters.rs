//! Messages that could not be used, and what may be done about them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::access::{Accounts, Permission};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Page, Viewer};
use super::pieces::{empty, moment_or, next_page};
use crate::api::Api;
use crate::api::dead_letters::{self, Letter, LettersQuery};
use crate::api::input::{Id, Query};
use crate::api::problem::Problem;

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    cursor: Option<String>,
}

/// The oldest first.
pub(super) async fn page(
    State(api): State<Api>,
    viewer: Viewer,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    let query = LettersQuery::page(shown.cursor);
    let Json(found) = dead_letters::list(State(api), viewer.by.clone(), Query(query)).await?;
    let hint = if viewer.by.caller.accounts == Accounts::All {
        "A message that breaks the contract of units ends here, with every problem that it has."
    } else {
        "A message names its organisation and not always an account: only those who have all accounts see them."
    };
    let body = html! {
        h1 { "Dead letters" }
        @if found.items.is_empty() { (empty("No dead letters", hint)) }
        @else { ol.letters { @for letter in &found.items { (one(&viewer, letter)) } } }
        (next_page("/dead-letters", &[], found.next_cursor.as_deref()))
    };
    Ok(Page { title: "Dead letters", place: "/dead-letters", topic: None, body }.show(&viewer))
}

fn one(viewer: &Viewer, letter: &Letter) -> Markup {
    let path = |verb: &str| format!("/dead-letters/{}/{verb}", letter.number);
    html! { li {
        h2 { "Letter " (letter.number) " " span.quiet { (moment_or(letter.at, "at an unknown time")) } }
        p { code { (letter.subject) } }
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
