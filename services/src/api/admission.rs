//! What every request passes before its handler: who is it, how often, may it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::access::Caller;

use super::by::By;
use super::limiter::{Left, RATE_LIMIT};
use super::policy::{PAGES, ROUTES, Rule, rule};
use super::problem::{Problem, ProblemKind};
use super::ties::Ties;
use super::{Api, proxies};

/// The middleware.
pub(crate) async fn admit(
    State(api): State<Api>,
    Extension(ties): Extension<Ties>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let (rule, method, headers) = (rule(request.method(), &path), request.method().clone(), request.headers().clone());
    let from = proxies::from(&request, &api.inner.trusted_proxies);
    let mut left = None;
    let mut response = match check(&api, &method, &headers, rule, &path, from, &mut left).await {
        Err(problem) if problem.status == StatusCode::METHOD_NOT_ALLOWED.as_u16() => not_allowed(problem, &path),
        Err(problem) => problem.into_response(),
        Ok(caller) => {
            if let Some(caller) = caller {
                tracing::Span::current().record("org_id", caller.org_id.as_str());
                let Ties { correlation_id, traceparent, .. } = ties;
                request.extensions_mut().insert(By { caller, correlation_id, causation_id: None, traceparent });
            }
            next.run(request).await
        }
    };
    if let Some(left) = left {
        left.tell(response.headers_mut());
    }
    response
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
        let reason = format!("this needs {permission}; roles with it: {}", roles.join(", "));
        return Err(ProblemKind::Forbidden.because(reason));
    }
    Ok(Some(Arc::new(caller)))
}

/// The middleware of what is open to everybody and costs something: signing in and out, the document.
pub(crate) async fn by_address(State(api): State<Api>, request: Request, next: Next) -> Response {
    let from = proxies::from(&request, &api.inner.trusted_proxies);
    match from.map(|from| api.inner.limiter.take(&place(from))) {
        Some(Err(limited)) => told(limited.into_response(), api.inner.limiter.empty()),
        Some(Ok(left)) => told(next.run(request).await, left),
        None => next.run(request).await,
    }
}

/// Whose bucket an address has: of IPv6 its network of 64 bits, as a host has all of the addresses in it.
fn place(from: IpAddr) -> String {
    match from.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{:x?}/64", &address.segments()[..4]),
    }
}

fn told(mut response: Response, left: Left) -> Response {
    left.tell(response.headers_mut());
    response
}

/// Where every request is somebody's: whatever is not counted by its rule is by its address.
const COUNTED: [&str; 4] = ["/api/", "/sign-in", "/sign-out", "/signed-out"];

/// The middleware of what no rule has counted: unknown paths and methods, bodies that are too large. Each counts for the
/// address that it came from.
pub(crate) async fn uncounted(State(api): State<Api>, request: Request, next: Next) -> Response {
    let from = proxies::from(&request, &api.inner.trusted_proxies);
    let ours = COUNTED.iter().any(|below| request.uri().path().starts_with(below));
    let response = next.run(request).await;
    let counted = !ours || response.headers().contains_key(RATE_LIMIT) || response.status().is_success();
    match from.filter(|_| !counted).map(|from| api.inner.limiter.take(&place(from))) {
        Some(Ok(left)) => told(response, left),
        Some(Err(limited)) => told(limited.into_response(), api.inner.limiter.empty()),
        None => response,
    }
}

/// Whoever has no good credential is nobody, and is counted by the address that the requests come from.
fn refused_from(api: &Api, from: Option<IpAddr>, refusal: Problem, left: &mut Option<Left>) -> Problem {
    let Some(from) = from.filter(|_| refusal.status == 401) else { return refusal };
    match api.inner.limiter.take(&place(from)) {
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
    let methods = methods(path);
    if methods.is_empty() {
        return Problem::not_found("path");
    }
    ProblemKind::MethodNotAllowed.because(format!("this path takes {}", methods.join(", ")))
}

/// The methods that a path takes. HEAD is what GET is, without the body.
fn methods(path: &str) -> Vec<&'static str> {
    let routes = ROUTES.iter().chain(PAGES).filter(|route| route.path == path);
    routes.flat_map(|route| [route.method].into_iter().chain((route.method == "GET").then_some("HEAD"))).collect()
}

fn not_allowed(problem: Problem, path: &str) -> Response {
    let mut response = problem.into_response();
    if let Ok(methods) = HeaderValue::from_str(&methods(path).join(", ")) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}
