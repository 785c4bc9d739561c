//! What every request passes before its handler: who is it, how often, may it.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::access::Caller;
use domain::text::traceparent;
use uuid::Uuid;

use super::Api;
use super::by::By;
use super::limiter::Left;
use super::policy::{ROUTES, Rule, rule};
use super::problem::{Problem, ProblemKind};

/// The header with the request's id, in and out.
pub(super) const REQUEST_ID: &str = "x-request-id";
const TRACEPARENT: &str = "traceparent";
const LONGEST_REQUEST_ID: usize = 128;

/// The middleware.
pub(super) async fn admit(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let given = given.filter(|id| (1..=LONGEST_REQUEST_ID).contains(&id.len()));
    let correlation_id = given.as_deref().and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_else(Uuid::now_v7);
    let trace = request.headers().get(TRACEPARENT).and_then(|trace| trace.to_str().ok());
    let trace = trace.and_then(traceparent).map(str::to_owned);
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let (rule, method, headers) = (rule(request.method(), &path), request.method().clone(), request.headers().clone());
    let mut left = None;
    let mut response = match check(&api, &method, &headers, rule, &path, &mut left).await {
        Err(problem) => problem.into_response(),
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(By { caller, correlation_id, traceparent: trace.clone() });
            }
            next.run(request).await
        }
    };
    let headers = response.headers_mut();
    let id = given.unwrap_or_else(|| correlation_id.to_string());
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(trace) = trace.and_then(|trace| HeaderValue::from_str(&trace).ok()) {
        headers.insert(TRACEPARENT, trace);
    }
    if let Some(left) = left {
        left.tell(headers);
    }
    response
}

async fn check(
    api: &Api,
    method: &Method,
    headers: &HeaderMap,
    rule: Option<Rule>,
    path: &str,
    left: &mut Option<Left>,
) -> Result<Option<Arc<Caller>>, Problem> {
    let needed = match rule {
        Some(Rule::Public) => return Ok(None),
        // A route without a rule is nobody's.
        None => return Err(unknown(path)),
        Some(Rule::SignedIn) => None,
        Some(Rule::Needs(permission)) => Some(permission),
    };
    let caller = api.inner.identity.caller(method, headers).await?;
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

fn unknown(path: &str) -> Problem {
    let methods: Vec<&str> = ROUTES.iter().filter(|route| route.path == path).map(|route| route.method).collect();
    if methods.is_empty() {
        return Problem::not_found("path");
    }
    ProblemKind::MethodNotAllowed.because(format!("this path takes {}", methods.join(", ")))
}
