//! What ties a request to everything that it sets off, and comes back with every answer, whoever gives it: its id and its
//! trace.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use adapters::telemetry::{Kind, ServedRequest, Stage, request_served};
use axum::Extension;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use domain::text::{trace_id, traceparent};
use tracing::Instrument as _;
use tracing::field::Empty;
use uuid::Uuid;

/// The header with the request's id, in and out.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest that is taken.
pub(super) const LONGEST_REQUEST_ID: usize = 128;
/// The header with the trace, in and out.
const TRACEPARENT: &str = "traceparent";

/// Those of a request, in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Ties {
    /// The request's id: itself where it is a UUID, otherwise the UUIDv5 of its text.
    pub correlation_id: Uuid,
    /// What the work for it carries on.
    pub traceparent: Option<String>,
    route: Arc<OnceLock<String>>,
}

/// The outermost middleware: gives a request without an id one, carries its trace on, and answers with both. Whatever is logged for the
/// request has them too, and whose it is, as soon as that is known.
pub(crate) async fn tie(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = known(request.method());
    let id = given(request.headers()).unwrap_or_else(new);
    let trace = request.headers().get(TRACEPARENT).and_then(|trace| trace.to_str().ok()).and_then(traceparent);
    let trace = trace.map(Cow::into_owned);
    let mut stage = Stage::begin(method, Kind::Server, trace.as_deref());
    let trace = stage.traceparent().or(trace);
    let correlation_id = correlation_id(id.to_str().unwrap_or_default());
    let route = Arc::<OnceLock<String>>::default();
    request.extensions_mut().insert(Ties { correlation_id, traceparent: trace.clone(), route: route.clone() });
    let trace_id = trace_id(trace.as_deref());
    let span = tracing::info_span!("request", %correlation_id, trace_id, org_id = Empty);
    let mut response = next.run(request).instrument(span).await;
    let (route, status) = (route.get().map_or("", String::as_str), response.status().as_u16());
    if !route.is_empty() {
        stage.rename(format!("{method} {route}"));
        stage.set("http.route", route.to_owned());
    }
    if response.status().is_server_error() {
        stage.fail(response.status().to_string());
    }
    request_served(ServedRequest { method, route, status, seconds: began.elapsed().as_secs_f64() });
    stage.set("http.request.method", method);
    stage.set("url.scheme", "http");
    stage.set("http.response.status_code", i64::from(status));
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID.clone(), id);
    if let Some(trace) = trace.and_then(|trace| HeaderValue::from_str(&trace).ok()) {
        headers.insert(TRACEPARENT, trace);
    }
    response
}

/// The outermost middleware of a route: says which one took the request.
pub(crate) async fn routed(Extension(ties): Extension<Ties>, request: Request, next: Next) -> Response {
    if let Some(route) = request.extensions().get::<MatchedPath>() {
        let _ = ties.route.set(route.as_str().to_owned());
    }
    next.run(request).await
}

/// Anybody may make methods up; in figures they are one.
fn known(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS", "TRACE", "CONNECT"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(&REQUEST_ID)?;
    let fits = (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.to_str().is_ok();
    fits.then(|| id.clone())
}

fn new() -> HeaderValue {
    let id = Uuid::now_v7().to_string();
    HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

fn correlation_id(given: &str) -> Uuid {
    Uuid::parse_str(given).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("request:{given}").as_bytes()))
}
