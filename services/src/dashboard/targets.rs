//! The list of targets.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::access::Permission;
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Page, Viewer};
use super::pieces::{empty, moment_or, next_page, options, state};
use crate::api::Api;
use crate::api::input::Query;
use crate::api::problem::Problem;
use crate::api::targets::{Target, TargetsQuery, list};
use crate::views::targets::{shown_health, states};

const HEALTHS: [&str; 5] = ["healthy", "degraded", "unreachable", "unauthorised", "unknown"];

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    health: Option<String>,
    state: Option<String>,
    cursor: Option<String>,
}

/// Targets by name, 50 a page.
pub(super) async fn page(
    State(api): State<Api>,
    viewer: Viewer,
    Query(shown): Query<Shown>,
) -> Result<Response, Problem> {
    let health = shown.health.filter(|health| !health.is_empty());
    let of_state = shown.state.filter(|state| !state.is_empty());
    let query = TargetsQuery::page(health.clone(), of_state.clone(), shown.cursor);
    let Json(found) = list(State(api), viewer.by.clone(), Query(query)).await?;
    let body = html! {
        h1 { "Targets" }
        form.filter method="get" action="/targets" {
            label { "Health " select name="health" { (options(&HEALTHS, health.as_deref(), "any")) } }
            label { "State " select name="state" { (options(&states(), of_state.as_deref(), "all but deleted")) } }
            button { "Show" }
        }
        @if found.items.is_empty() && (health.is_some() || of_state.is_some()) {
            (empty("No target is like that", "Others may be: choose another health or state."))
        } @else if found.items.is_empty() && viewer.may(Permission::WriteTargets) {
            (empty("No targets here", "A target is one account at one channel. Make one with POST /api/channels/targets or distribution target create."))
        } @else if found.items.is_empty() {
            (empty("No targets here", "A target is one account at one channel. Those who are Owner make one."))
        } @else { (table(&found.items)) }
        (next_page("/targets", &[("health", health.as_deref()), ("state", of_state.as_deref())], found.next_cursor.as_deref()))
    };
    Ok(Page { title: "Targets", place: "/targets", topic: None, body }.show(&viewer))
}

fn table(targets: &[Target]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th { "Target" } th.wide { "Account" } th { "Health" } th { "State" } th.wide { "Limit" } th.wide { "Health since" }
            } }
            tbody { @for target in targets { tr {
                td.named { a href=(format!("/targets/{}", target.target_id)) { (target.name) } }
                td.wide { (target.account_id) }
                td { (state(shown_health(&target.health, &target.state))) }
                td { (state(&target.state)) }
                td.wide { (target.rate_limit) }
                td.wide { (moment_or(target.health_since, "not seen yet")) }
            } } }
        } }
    }
}
