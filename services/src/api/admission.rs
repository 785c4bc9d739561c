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
use super::identity::Credential;
use super::limiter::{Left, Limiter, RATE_LIMIT};
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
    let credential = match Credential::of(headers) {
        Ok(credential) => credential,
        Err(refusal) => return Err(refused_from(api, from, refusal, left)),
    };
    let caller = caller(api, &credential, from, left).await?;
    credential.not_forged(method, headers)?;
    if let Some(permission) = needed.filter(|permission| !caller.may(*permission)) {
        let roles: Vec<&str> = permission.roles().iter().map(|role| role.as_str()).collect();
        let reason = format!("this needs {permission}; roles with it: {}", roles.join(", "));
        return Err(ProblemKind::Forbidden.because(reason));
    }
    Ok(Some(Arc::new(caller)))
}

/// Whose a credential is. To find out costs a query, or the check of a signature. So it is counted before: for its caller where it was
/// good a moment ago, and for the address that it comes from where nobody knows it, until it is seen to be good.
async fn caller(
    api: &Api,
    credential: &Credential,
    from: Option<IpAddr>,
    left: &mut Option<Left>,
) -> Result<Caller, Problem> {
    let (limiter, known) = (&api.inner.limiter, &api.inner.known);
    let print = credential.print();
    // Tokens that are made up do not count against cookies, and the other way round.
    let address = from.map(|from| format!("{} {}", place(from), credential.kind()));
    let before = known.caller(&print);
    let mut paid = None;
    match (&before, &address) {
        (Some(key), _) => noted(limiter, limiter.take(key), left)?,
        (None, Some(address)) => paid = pay(api, address, credential, left).await?,
        (None, None) => {}
    }
    let looked = api.inner.identity.caller(credential).await;
    if looked.as_ref().is_err_and(|problem| problem.status == StatusCode::UNAUTHORIZED.as_u16()) {
        known.forget(&print);
        match (paid, &address) {
            (Some(those), _) => *left = Some(those),
            (None, Some(address)) => noted(limiter, limiter.looks.pay(address), left)?,
            (None, None) => {}
        }
        return looked;
    }
    if let (Some(_), Some(address)) = (paid, &address) {
        limiter.looks.give_back(address);
    }
    let caller = looked?;
    let is_new = before.is_none();
    let key = before.unwrap_or_else(|| format!("{} {}", caller.org_id, caller.subject).into());
    known.note(print, key.clone());
    if is_new {
        noted(limiter, limiter.take(&key), left)?;
    }
    Ok(caller)
}

/// Has an address pay for a look at a credential that nobody knows. Where it has nothing left, somebody there tries out what they make
/// up. Whoever is signed in is let in from there all the same, and nobody else.
async fn pay(
    api: &Api,
    address: &str,
    credential: &Credential,
    left: &mut Option<Left>,
) -> Result<Option<Left>, Problem> {
    let limiter = &api.inner.limiter;
    let limited = match limiter.looks.pay(address) {
        Ok(those) => return Ok(Some(those)),
        Err(limited) => limited,
    };
    if api.inner.identity.may_be_good(credential).await? {
        return Ok(None);
    }
    *left = Some(limiter.empty());
    Err(limited)
}

/// Notes what was left of a bucket, or that nothing was.
fn noted(limiter: &Limiter, taken: Result<Left, Problem>, left: &mut Option<Left>) -> Result<(), Problem> {
    *left = Some(taken.as_ref().map_or_else(|_| limiter.empty(), |left| *left));
    taken.map(|_| ())
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

/// Whoever has no credential is nobody, and is counted by the address that the requests come from.
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
