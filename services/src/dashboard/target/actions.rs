//! What one may do to a target. Each goes the way of the API's own handlers.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::access::Permission;
use maud::{Markup, html};
use secrecy::SecretString;
use serde::Deserialize;
use uuid::Uuid;

use crate::api::Api;
use crate::api::if_match::IfMatch;
use crate::api::input::{Body, Form, Id};
use crate::api::problem::Problem;
use crate::api::targets::{self, Reason, RotateCredential, Target};
use crate::dashboard::layout::Viewer;
use crate::dashboard::live::Part;
use crate::dashboard::pieces::reason_field;

#[derive(Debug, Deserialize)]
pub(in crate::dashboard) struct Rotation {
    secret: SecretString,
}

/// What the viewer may do to the target now.
pub(super) fn part(viewer: &Viewer, target: &Target) -> Part {
    let may = viewer.may(Permission::WriteTargets) && target.lifecycle != "deleted";
    let content = if may { bar(viewer, target) } else { Markup::default() };
    Part::new("actions", "What one may do", content)
}

/// Each has its id, so that what is open or in focus stays itself when others come and go.
fn bar(viewer: &Viewer, target: &Target) -> Markup {
    let path = |verb: &str| format!("/targets/{}/{verb}", target.target_id);
    let reason = html! {
        (reason_field())
        button.strong { "Pause" }
    };
    let secret = html! {
        label { "The new secret of the account at the channel. It is never shown again."
            input name="secret" type="password" required autocomplete="off"; }
        button.strong { "Rotate" }
    };
    html! { div.actions {
        @if target.lifecycle == "active" { div.one #do-pause { (viewer.action(&path("pause"), "Pause…", &reason)) } }
        @if target.lifecycle == "paused" || target.health == "unauthorised" {
            div.one #do-resume { (viewer.form(&path("resume"), &html! { button { "Resume" } })) }
        }
        div.one #do-check { (viewer.form(&path("check"), &html! { button { "Check now" } })) }
        div.one #do-rotate { (viewer.action(&path("credential"), "Rotate secret…", &secret)) }
    } }
}

fn back(id: Uuid) -> Response {
    Redirect::to(&format!("/targets/{id}")).into_response()
}

pub(in crate::dashboard) async fn pause(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
    Form(reason): Form<Reason>,
) -> Result<Response, Problem> {
    targets::pause(State(api), viewer.by, Id(id), IfMatch::Any, Body(reason)).await?;
    Ok(back(id))
}

pub(in crate::dashboard) async fn resume(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
) -> Result<Response, Problem> {
    targets::resume(State(api), viewer.by, Id(id), IfMatch::Any).await?;
    Ok(back(id))
}

/// It waits until the check was made: the page then shows it.
pub(in crate::dashboard) async fn check(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
) -> Result<Response, Problem> {
    let _checked = targets::check(State(api), viewer.by, Id(id)).await?;
    Ok(back(id))
}

pub(in crate::dashboard) async fn rotate(
    State(api): State<Api>,
    viewer: Viewer,
    Id(id): Id<Uuid>,
    Form(rotation): Form<Rotation>,
) -> Result<Response, Problem> {
    let wanted = RotateCredential::new(rotation.secret);
    targets::rotate(State(api), viewer.by, Id(id), IfMatch::Any, Body(wanted)).await?;
    Ok(back(id))
}
