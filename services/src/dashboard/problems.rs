//! What each kind of problem means, at the address that answers name as its `type`. For everybody, as everybody may meet one.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::Dashboard;
use super::layout::public;
use crate::api::input::Id;
use crate::api::problem::{Problem, ProblemKind};

pub(super) fn router() -> Router<Dashboard> {
    Router::new().route("/problems", get(all)).route("/problems/{name}", get(one))
}

async fn all() -> Response {
    let body = html! {
        h1 { "Problems" }
        p { "What the API answers with where something is wrong, by its " code { "type" } "." }
        ol.rows { @for kind in ProblemKind::ALL { li { a href=(kind.name()) { (kind.title()) } " " span.quiet { (kind.status()) } } } }
    };
    public("Problems", &body)
}

async fn one(Id(name): Id<String>) -> Result<Response, Problem> {
    let of_name = |kind: &ProblemKind| kind.name().strip_prefix("/problems/") == Some(name.as_str());
    let kind = ProblemKind::ALL.into_iter().find(of_name).ok_or_else(|| Problem::not_found("kind of problem"))?;
    let body = html! {
        div.problem {
            p.code { (kind.status()) }
            h1 { (kind.title()) }
            p { (marked(kind.meaning())) }
            p { (marked(kind.remedy())) }
            p.quiet { code { (kind.name()) } }
            p.ways { a.button href="/problems" { "All kinds of problems" } a.button href="/api/docs" { "The API" } }
        }
    };
    Ok(public(kind.title(), &body))
}

/// What stands between backquotes, as what is to be typed.
fn marked(words: &str) -> Markup {
    let parts = words.split('`').enumerate();
    html! { @for (place, part) in parts { @if place % 2 == 1 { code { (part) } } @else { (part) } } }
}
