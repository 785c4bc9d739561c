//! What is different for pages: the CSRF token comes as a field, problems are shown as pages, and whoever is not signed
//! in is led there. Who may do what is decided where the API decides it.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::wrong::{Asked, Wrong, sign_in_from};
use crate::api::input::whole;
use crate::api::problem::PROBLEM_JSON;

/// Sent by htmx: the answer becomes a part of a page.
const PART: HeaderName = HeaderName::from_static("hx-request");
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// The outermost layer of the pages.
pub(super) async fn as_page(request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let asked = Asked::of(&request);
    let part = request.headers().contains_key(PART);
    let request = match with_csrf(request).await {
        Ok(request) => request,
        Err(refused) => return shown(refused, &asked).await,
    };
    let token = request.headers().contains_key(header::AUTHORIZATION);
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED && method.is_safe() && !token {
        return to_sign_in(&uri, part);
    }
    shown(response, &asked).await
}

/// Problems as pages for those who ask for pages: browsers say so, programs do not.
pub(crate) async fn for_people(request: Request, next: Next) -> Response {
    let kinds = request.headers().get(header::ACCEPT).and_then(|kinds| kinds.to_str().ok());
    let asked = kinds.is_some_and(|kinds| kinds.contains("text/html")).then(|| Asked::of(&request));
    let response = next.run(request).await;
    match asked {
        Some(asked) => shown(response, &asked).await,
        None => response,
    }
}

/// A problem as a page with the same status; everything else as it is.
async fn shown(response: Response, asked: &Asked) -> Response {
    let is_problem = |headers: &HeaderMap| headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
    if !is_problem(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // It is our own, and in memory.
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let problem: Wrong = serde_json::from_slice(&bytes).unwrap_or_default();
    let (shown, body) = problem.page(parts.status, asked).into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(shown.headers);
    Response::from_parts(parts, body)
}

fn to_sign_in(uri: &Uri, part: bool) -> Response {
    let address = sign_in_from(uri.path_and_query().map_or("/", |path| path.as_str()));
    if !part {
        return Redirect::to(&address).into_response();
    }
    let leave = HeaderValue::from_str(&address).unwrap_or(HeaderValue::from_static("/sign-in"));
    (StatusCode::UNAUTHORIZED, [(HeaderName::from_static("hx-redirect"), leave)]).into_response()
}

/// Forms carry the token as a field, so that they work without scripts; admission looks at the header.
async fn with_csrf(request: Request) -> Result<Request, Response> {
    let is_form = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.trim().starts_with("application/x-www-form-urlencoded"))
    });
    if request.method() != Method::POST || !is_form || request.headers().contains_key(&CSRF) {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    let bytes = whole(body).await.map_err(IntoResponse::into_response)?;
    let given = form_urlencoded::parse(&bytes).find(|(name, _)| name == "csrf_token");
    if let Some(value) = given.and_then(|(_, token)| HeaderValue::from_str(&token).ok()) {
        parts.headers.insert(CSRF, value);
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}
