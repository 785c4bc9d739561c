//! What every request passes before its handler: who is it, how often, may it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use adapters::telemetry::{Kind, ServedRequest, Stage, request_served};
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::access::Caller;
use domain::text::{trace_id, traceparent};
use tracing::Instrument as _;
use uuid::Uuid;

use super::Api;
use super::by::By;
use super::limiter::{Left, RATE_LIMIT};
use super::policy::{PAGES, ROUTES, Rule, rule};
use super::problem::{Problem, ProblemKind};
use super::refusals::REQUEST_ID;

const TRACEPARENT: &str = "traceparent";

/// The middleware.
pub(crate) async fn admit(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let correlation_id = id.map_or_else(Uuid::now_v7, correlation_id);
    let trace = request.headers().get(TRACEPARENT).and_then(|trace| trace.to_str().ok());
    let trace = trace.and_then(traceparent).map(str::to_owned);
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let (rule, method, headers) = (rule(request.method(), &path), request.method().clone(), request.headers().clone());
    let mut stage = Stage::begin(format!("{} {path}", request.method()), Kind::Server, trace.as_deref());
    stage.set("http.request.method", request.method().to_string());
    stage.set("http.route", path.clone());
    let trace = stage.traceparent().or(trace);
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip());
    let mut left = None;
    let mut response = match check(&api, &method, &headers, rule, &path, from, &mut left).await {
        Err(problem) => problem.into_response(),
        Ok(caller) => {
            let span = tracing::info_span!(
                "request",
                %correlation_id,
                trace_id = trace_id(trace.as_deref()),
                org_id = caller.as_ref().map(|caller| caller.org_id.as_str()),
            );
            if let Some(caller) = caller {
                request.extensions_mut().insert(By {
                    caller,
                    correlation_id,
                    causation_id: None,
                    traceparent: trace.clone(),
                });
            }
            next.run(request).instrument(span).await
        }
    };
    let (method, route, status) = (method.as_str(), path.as_str(), response.status().as_u16());
    request_served(ServedRequest { method, route, status, seconds: began.elapsed().as_secs_f64() });
    stage.set("http.response.status_code", i64::from(status));
    if response.status().is_server_error() {
        stage.fail(response.status().to_string());
    }
    let headers = response.headers_mut();
    if let Some(trace) = trace.and_then(|trace| HeaderValue::from_str(&trace).ok()) {
        headers.insert(TRACEPARENT, trace);
    }
    if let Some(left) = left {
        left.tell(headers);
    }
    response
}

/// What a request's id is in the journal: itself where it is a UUID, otherwise the UUIDv5 of its text.
fn correlation_id(given: &str) -> Uuid {
    Uuid::parse_str(given).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("request:{given}").as_bytes()))
}

async fn check(
    api: &Api,
    method: &Method,
    headers: &HeaderMap,
    rule: Option<Rule>,
    path: &str,
    from: Option<IpAddr>,
    left: &mut Option<Left>,
) -> Result<Option<Arc<Caller>>, Problem> {
    let needed = match rule {
        Some(Rule::Public) => return Ok(None),
        // A route without a rule is nobody's.
        None => return Err(unknown(path)),
        Some(Rule::SignedIn) => None,
        Some(Rule::Needs(permission)) => Some(permission),
    };
    let caller = match api.inner.identity.caller(method, headers).await {
        Ok(caller) => caller,
        Err(refusal) => return Err(refused_from(api, from, refusal, left)),
    };
    let key = format!("{} {}", caller.org_id, caller.subject);
    let taken = api.inner.limiter.take(&key);
    *left = Some(taken.as_ref().map_or_else(|_| api.inner.limiter.empty(), |left| *left));
    taken?;
    if let Some(permission) = needed.filter(|permission| !caller.may(*permission)) {
        let roles: Vec<&str> = permission.roles().iter().map(|role| role.as_str()).collect();
        let reason = format!("this needs {permission}, which {} have", roles.join(", "));
        return Err(ProblemKind::Forbidden.because(reason));
    }
    Ok(Some(Arc::new(caller)))
}

/// The middleware of what is open to everybody and costs something: signing in and out, the document.
pub(super) async fn by_address(State(api): State<Api>, request: Request, next: Next) -> Response {
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip());
    match from.map(|from| api.inner.limiter.take(&from.to_string())) {
        Some(Err(limited)) => told(limited.into_response(), api.inner.limiter.empty()),
        Some(Ok(left)) => told(next.run(request).await, left),
        None => next.run(request).await,
    }
}

fn told(mut response: Response, left: Left) -> Response {
    left.tell(response.headers_mut());
    response
}

/// The middleware of what no rule has counted: unknown paths and methods, bodies that are too large. Each counts for the
/// address that it came from.
pub(super) async fn uncounted(State(api): State<Api>, request: Request, next: Next) -> Response {
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip());
    let ours = request.uri().path().starts_with("/api/");
    let response = next.run(request).await;
    let counted = !ours || response.headers().contains_key(RATE_LIMIT) || response.status().is_success();
    match from.filter(|_| !counted).map(|from| api.inner.limiter.take(&from.to_string())) {
        Some(Ok(left)) => told(response, left),
        Some(Err(limited)) => told(limited.into_response(), api.inner.limiter.empty()),
        None => response,
    }
}

/// Whoever has no good credential is nobody, and is counted by the address that the requests come from.
fn refused_from(api: &Api, from: Option<IpAddr>, refusal: Problem, left: &mut Option<Left>) -> Problem {
    let Some(from) = from.filter(|_| refusal.status == 401) else { return refusal };
    match api.inner.limiter.take(&from.to_string()) {
        Ok(those) => {
            *left = Some(those);
            refusal
        }
        Err(limited) => {
            *left = Some(api.inner.limiter.empty());
            limited
        }
    }
}

fn unknown(path: &str) -> Problem {
    let methods: Vec<&str> =
        ROUTES.iter().chain(PAGES).filter(|route| route.path == path).map(|route| route.method).collect();
    if methods.is_empty() {
        return Problem::not_found("path");
    }
    ProblemKind::MethodNotAllowed.because(format!("this path takes {}", methods.join(", ")))
}
