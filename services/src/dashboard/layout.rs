//! What every page stands in: head, navigation, and what the viewer may do.

use adapters::identity::csrf_token;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::response::{Html, IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::access::{Caller, CredentialKind, Permission};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::pieces::clock;
use super::{assets, lag};
use crate::api::Api;
use crate::api::by::By;
use crate::api::identity::session_cookie;
use crate::api::problem::Problem;
use crate::views::read_model_lag;

/// Scripts and styles come from here and nowhere else.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// htmx without what the policy forbids: styles and code in the page.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"historyCacheSize":0,"selfRequestsOnly":true}"#;

/// The places of the navigation, each with what it needs.
const PLACES: [(&str, &str, Permission); 6] = [
    ("/", "Overview", Permission::ReadTargets),
    ("/targets", "Targets", Permission::ReadTargets),
    ("/listings", "Listings", Permission::ReadListings),
    ("/audit", "Audit", Permission::ReadAudit),
    ("/dead-letters", "Dead letters", Permission::ReadDeadLetters),
    ("/api/docs", "API", Permission::ReadTargets),
];

/// Where somebody begins: the first place that is open to them.
pub(super) fn home(caller: &Caller) -> &'static str {
    PLACES.iter().find(|(_, _, permission)| caller.may(*permission)).map_or("/", |(path, ..)| *path)
}

/// The keys that lead to a place, as the script has them: g, and the letter that its name begins with.
fn shortcut(path: &str, name: &str) -> Option<String> {
    let letter = name.chars().next().filter(|_| !path.starts_with("/api"))?;
    Some(format!("Keys: g, then {}", letter.to_ascii_lowercase()))
}

/// Who looks, and where from.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    /// The request's caller.
    pub by: By,
    csrf: Option<String>,
    /// Since when the read models do not show all.
    lag_since: Option<DateTime<Utc>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer
where
    Api: FromRef<S>,
{
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let by = By::from_request_parts(parts, state).await?;
        let session = by.caller.credential == CredentialKind::Session;
        let csrf = session_cookie(&parts.headers).filter(|_| session).map(|cookie| csrf_token(&cookie));
        let shows = parts.method == Method::GET;
        let lag_since = if shows { read_model_lag::since(Api::from_ref(state).pool()).await? } else { None };
        Ok(Self { by, csrf, lag_since })
    }
}

impl Viewer {
    /// Whoever looks at a live part: its forms have a place for the token, which the script fills with that of the session.
    pub(super) fn shared(by: By) -> Self {
        Self { by, csrf: Some(String::new()), lag_since: None }
    }

    /// Whether the viewer may do this. What one may not do is not offered.
    pub(super) fn may(&self, permission: Permission) -> bool {
        self.by.caller.may(permission)
    }

    /// A form that is sent with the session's token.
    pub(super) fn form(&self, action: &str, fields: &Markup) -> Markup {
        html! {
            form method="post" action=(action) {
                @if let Some(csrf) = &self.csrf { input type="hidden" name="csrf_token" value=(csrf); }
                (fields)
            }
        }
    }

    /// A form behind a button, which says first what it asks.
    pub(super) fn action(&self, action: &str, label: &str, fields: &Markup) -> Markup {
        html! {
            details.action {
                summary.button { (label) }
                (self.form(action, fields))
            }
        }
    }
}

/// A page of somebody who is signed in.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub title: &'a str,
    /// The path of the place in the navigation.
    pub place: &'a str,
    /// What of it is live, as `/live?topic=` takes it; without it the page says of when it is.
    pub topic: Option<String>,
    pub body: Markup,
}

impl Page<'_> {
    pub(super) fn show(self, viewer: &Viewer) -> Response {
        let caller = &viewer.by.caller;
        let (by, what) = if viewer.may(Permission::ReadListings) {
            ("Search by unit, target, external id, sync id or trace id", "Unit, target, external id, sync, trace")
        } else {
            ("Search by sync id, request id or trace id", "Sync, request, trace")
        };
        let search = html! {
            form.search role="search" method="get" action="/search" {
                label.unseen for="search" { (by) }
                input #search type="search" name="q" placeholder=(what) autocomplete="off" required;
                kbd aria-hidden="true" { "/" }
            }
        };
        let top = html! {
            header.top {
                a.brand href=(home(caller)) { img src=(assets::path("mark.svg")) alt="" width="22" height="22"; "Channels" }
                nav aria-label="Main" {
                    @for (path, name, permission) in PLACES {
                        @if viewer.may(permission) {
                            a href=(path) title=[shortcut(path, name)] aria-current=[(path == self.place).then_some("page")] { (name) }
                        }
                    }
                }
                (search)
                div.who {
                    @if self.topic.is_some() { span #live.live role="status" data-state="waiting" { "connecting" } }
                    @else { span.live { span { "as of " (clock(Utc::now())) " · " a href="" { "reload" } } } }
                    span.subject title=(format!("{} in {}", caller.subject, caller.org_id)) { (caller.subject) }
                    span.role title="What you may do here" { (roles(caller)) }
                    (viewer.form("/sign-out", &html! { button.plain { "Sign out" } }))
                }
            }
        };
        let lag = lag::part(viewer.lag_since).alone();
        let main = html! {
            main #main tabindex="-1" data-live=[self.topic.as_deref()] {
                (lag)
                noscript { p.quiet { "Times are UTC, and this page stays as it was when it was loaded: times of your zone, live changes and plots need scripts." } }
                (self.body)
            }
        };
        answer(&document(self.title, &html! { (top) (main) }))
    }
}

fn roles(caller: &Caller) -> String {
    caller.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}

/// A page for anybody: nothing in it says more than the request did.
pub(crate) fn public(title: &str, body: &Markup) -> Response {
    let top = html! {
        header.top.alone {
            a.brand href="/" { img src=(assets::path("mark.svg")) alt="" width="22" height="22"; "Channels" }
        }
    };
    answer(&document(title, &html! { (top) main #main.narrow { (body) } }))
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " · Channels" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(PreEscaped(HTMX.replace('"', "&quot;")));
                link rel="icon" href=(assets::path("mark.svg"));
                link rel="stylesheet" href=(assets::path("uPlot.min.css"));
                link rel="stylesheet" href=(assets::path("dashboard.css"));
                @for script in ["htmx.min.js", "idiomorph.min.js", "uPlot.iife.min.js", "dashboard.js"] {
                    script src=(assets::path(script)) defer {}
                }
            }
            body {
                a.skip href="#main" { "Skip to content" }
                (body)
            }
        }
    }
}

fn answer(document: &Markup) -> Response {
    let mut response = Html(document.0.clone()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Addresses name units and codes of links: neither is told to others. With no-referrer the origin of forms would be null.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
