//! How people come in and go: a one-time link, or the OpenID provider; and the sign-out, at both.

mod failed;

use adapters::identity::{
    Grant, LOGIN_COOKIES, MOST_LOGINS, OidcLogin, Way, csrf_matches, login_cookie, login_cookie_removal,
    session_cookie_removal,
};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use maud::html;
use serde::Deserialize;
use url::Url;

use super::Dashboard;
use super::layout::{home, public};
use super::live::Live;
use crate::api::Api;
use crate::api::identity::{CSRF_HEADER, cookie, cookies_below, session_cookie};
use crate::api::input::{Query, whole};
use crate::api::problem::{Problem, ProblemKind};

/// Where one is after the sign-in, unless one came from somewhere.
const HOME: &str = "/";

pub(super) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/sign-in", get(begin).post(redeem))
        .route("/sign-in/callback", get(finish))
        .route("/sign-out", post(end))
        .route("/signed-out", get(ended))
        .layer(from_fn(arrived))
}

/// Bodies have to arrive in time, as everywhere.
async fn arrived(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match whole(body).await {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(problem) => problem.into_response(),
    }
}

#[derive(Debug, Deserialize)]
struct BeginQuery {
    /// Of a one-time link.
    code: Option<String>,
    return_to: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RedeemForm {
    code: String,
}

#[derive(Debug, Deserialize)]
struct FinishQuery {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    /// Who sends it (RFC 9207).
    iss: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct EndForm {
    #[serde(default)]
    csrf_token: String,
}

/// A link is not used up by being looked at, as mail programs do: that takes a press of the button.
async fn begin(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(query): Query<BeginQuery>,
) -> Result<Response, Problem> {
    if let Some(oidc) = &api.identity().oidc {
        let start = oidc.begin(query.return_to.as_deref().unwrap_or(HOME)).await;
        let start = start.map_err(|error| failed::problem(&error))?;
        let mut response = Redirect::to(start.redirect.as_str()).into_response();
        // Browsers name the oldest first.
        let under_way = cookies_below(&headers, LOGIN_COOKIES);
        let too_many = (under_way.len() + 1).saturating_sub(MOST_LOGINS);
        for name in under_way.into_iter().take(too_many) {
            set_cookie(&mut response, &login_cookie_removal(name).to_string());
        }
        set_cookie(&mut response, &start.cookie.to_string());
        return Ok(response);
    }
    // What stands in the page is of these characters alone.
    let code: String =
        query.code.unwrap_or_default().chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    let page = if api.identity().services.is_some() {
        html! {
            h1 { "Sign in" }
            p {
                "People cannot sign in here: only services have an identity provider. That of people would be "
                code { "DISTRIBUTION_OIDC_ISSUER" } "."
            }
        }
    } else if code.is_empty() {
        html! {
            h1 { "Sign in" }
            p { "Ask the operator for a sign-in link: " code { "distribution sign-in --help" } " says how one is made." }
        }
    } else {
        html! {
            h1 { "Sign in" }
            form method="post" action="/sign-in" {
                input type="hidden" name="code" value=(code);
                p { button.strong autofocus { "Sign in" } }
            }
            p.quiet { "This link works once." }
        }
    };
    let page = public("Sign in", &page);
    Ok(page)
}

async fn redeem(State(api): State<Api>, headers: HeaderMap, Form(form): Form<RedeemForm>) -> Result<Response, Problem> {
    from_this_site(&headers)?;
    let identity = api.identity();
    if identity.oidc.is_some() || identity.services.is_some() {
        return Err(ProblemKind::SignInFailed.because("links are not taken here: sign in at the identity provider"));
    }
    let grant = identity.links.redeem(&form.code).await?;
    let grant = grant.ok_or_else(|| Problem::field("code", "this link was used or has expired: ask for a new one"))?;
    signed_in(&api, &headers, grant, Way::Link, HOME).await
}

/// Another site must not sign somebody's browser in as somebody else.
fn from_this_site(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let elsewhere = text("sec-fetch-site").is_some_and(|site| !["same-origin", "none"].contains(&site));
    let host = text("host").unwrap_or_default();
    let foreign = text("origin").is_some_and(|origin| origin.split_once("://").is_none_or(|(_, from)| from != host));
    if elsewhere || foreign {
        return Err(ProblemKind::SignInFailed.because("open the link itself: this form was sent from another site"));
    }
    Ok(())
}

async fn finish(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(query): Query<FinishQuery>,
) -> Result<Response, Problem> {
    let oidc = api.identity().oidc.as_ref().ok_or_else(|| Problem::not_found("path"))?;
    if !oidc.may_have_sent(query.iss.as_deref()) {
        return Err(failed::elsewhere());
    }
    // That of this login alone: others of the browser may be under way.
    let name = query.state.as_deref().map(login_cookie);
    let browser = name.as_deref().and_then(|name| cookie(&headers, name));
    let ended = finished(&api, oidc, &headers, query, browser.as_deref()).await;
    let mut response = ended.unwrap_or_else(IntoResponse::into_response);
    if let Some(name) = name.filter(|_| browser.is_some()) {
        set_cookie(&mut response, &login_cookie_removal(name).to_string());
    }
    Ok(response)
}

async fn finished(
    api: &Api,
    oidc: &OidcLogin,
    headers: &HeaderMap,
    query: FinishQuery,
    browser: Option<&str>,
) -> Result<Response, Problem> {
    if let Some(code) = query.error {
        let begun = oidc.give_up(&query.state.unwrap_or_default(), browser.unwrap_or_default()).await;
        begun.map_err(|error| failed::problem(&error))?;
        return Err(failed::told(&code));
    }
    let (Some(code), Some(state)) = (query.code, query.state) else {
        return Err(Problem::field("code", "the identity provider sends code and state; begin anew at /sign-in"));
    };
    let end = oidc.finish(&code, &state, query.iss.as_deref(), browser.unwrap_or_default()).await;
    let end = end.map_err(|error| failed::problem(&error))?;
    signed_in(api, headers, end.grant, Way::Provider, &end.return_to).await
}

async fn signed_in(api: &Api, headers: &HeaderMap, grant: Grant, way: Way, to: &str) -> Result<Response, Problem> {
    let begun = api.sessions().begin(grant, way, session_cookie(headers).as_deref()).await?;
    tracing::info!(subject = begun.caller.subject, org_id = %begun.caller.org_id, "signed in");
    // Not everybody may see the overview.
    let to = if to == HOME { home(&begun.caller) } else { to };
    let mut response = Redirect::to(to).into_response();
    set_cookie(&mut response, &begun.cookie.to_string());
    Ok(response)
}

/// What is left to do at the identity provider once a session has ended here.
enum AtProvider {
    /// There is none, or the browser had no session.
    Nothing,
    /// The browser is sent there.
    Leads(Url),
    /// It cannot be asked, or signs nobody out. It may let this browser in again without a word.
    Unknown,
}

/// The token of the session comes with the form, or as programs send it.
async fn end(
    State(api): State<Api>,
    State(live): State<Live>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Problem> {
    let mut provider = AtProvider::Nothing;
    if let Some(cookie) = session_cookie(&headers) {
        let form: EndForm = serde_urlencoded::from_str(&body).unwrap_or_default();
        let header = headers.get(CSRF_HEADER).and_then(|token| token.to_str().ok()).unwrap_or_default();
        if !csrf_matches(&cookie, &form.csrf_token) && !csrf_matches(&cookie, header) {
            let reason = "send the csrf_token of GET /api/channels/me with this form, or as X-CSRF-Token";
            let problem = ProblemKind::Forbidden.because(reason);
            return Err(Problem { field: Some("csrf_token".to_owned()), ..problem });
        }
        // Before the provider is asked for anything: what it does or does not do keeps no session alive.
        api.sessions().end(&cookie).await?;
        live.sign_out(&cookie);
        provider = at_provider(&api).await;
    }
    let mut response = signed_out(&provider);
    set_cookie(&mut response, &session_cookie_removal().to_string());
    Ok(response)
}

/// Asked for whoever has sent a session's cookie with its token: other sites can send neither, so they sign nobody out there.
async fn at_provider(api: &Api) -> AtProvider {
    let Some(oidc) = &api.identity().oidc else { return AtProvider::Nothing };
    match oidc.sign_out().await {
        Ok(Some(url)) => AtProvider::Leads(url),
        Ok(None) => AtProvider::Unknown,
        Err(error) => {
            tracing::warn!(%error, "somebody is signed out here, and not at the identity provider");
            AtProvider::Unknown
        }
    }
}

/// A page that leads on by itself (Refresh), and with a link. What a form is redirected to has to be in the `form-action` of its
/// page, as Chromium has it, with every place that the provider leads to in turn; what a page leads to has not.
fn signed_out(provider: &AtProvider) -> Response {
    let out = html! {
        h1 { "You are signed out" }
        @match provider {
            AtProvider::Nothing => {},
            AtProvider::Leads(url) => p {
                "The identity provider still knows this browser: " a href=(url.as_str()) { "sign out there, too" } "."
            },
            AtProvider::Unknown => p {
                "The identity provider may still know this browser, and let in whoever uses it next without asking. "
                "Sign out there, too."
            },
        }
        p { a.button href="/sign-in" { "Sign in again" } }
    };
    let mut response = public("Signed out", &out);
    if let AtProvider::Leads(url) = provider
        && let Ok(refresh) = HeaderValue::from_str(&format!("0; url={url}"))
    {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

/// Where the provider sends people back to. It does nothing, whoever leads there, so there is no `state` to be checked; and
/// whoever is signed in is not told otherwise.
async fn ended(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(cookie) = session_cookie(&headers)
        && let Some(caller) = api.sessions().find(&cookie).await?
    {
        return Ok(Redirect::to(home(&caller)).into_response());
    }
    Ok(signed_out(&AtProvider::Nothing))
}

fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
