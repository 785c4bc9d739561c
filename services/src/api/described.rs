//! Nothing is done for a request whose query, body or `If-Match` says more than its route takes: what nobody reads may be misspelt, or a wish
//! that is not kept (`dry_run=true`). Neither is for one that says something twice: one of the two would not be kept. What a route takes is
//! what its document says.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};

use super::problem::Problem;
use super::{freshness, input, openapi};

/// What a route takes.
struct Takes {
    /// Names of the parameters in its query.
    query: BTreeSet<String>,
    /// Whether it takes a body. That of a read is nobody's, and is left where it is.
    body: bool,
    /// Whether it takes a condition. On a read it says nothing that is not so.
    if_match: bool,
}

static ROUTES: LazyLock<HashMap<(Method, String), Takes>> = LazyLock::new(|| {
    let document = openapi::document();
    // Whoever probes may ask as he likes.
    let api = document.paths.paths.iter().filter(|(path, _)| path.starts_with("/api/"));
    api.flat_map(|(path, item)| operations(path, item)).collect()
});

fn operations(path: &str, item: &PathItem) -> Vec<((Method, String), Takes)> {
    let all = [
        (Method::GET, &item.get),
        (Method::HEAD, &item.get),
        (Method::POST, &item.post),
        (Method::PATCH, &item.patch),
        (Method::PUT, &item.put),
        (Method::DELETE, &item.delete),
    ];
    let known = all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)));
    known.map(|(method, operation)| ((method.clone(), path.to_owned()), takes(&method, path, operation))).collect()
}

fn takes(method: &Method, path: &str, operation: &Operation) -> Takes {
    let parameters = || {
        operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
    };
    let query = parameters().filter(|parameter| matches!(parameter.parameter_in, ParameterIn::Query));
    let mut query: BTreeSet<String> = query.map(|parameter| parameter.name.clone()).collect();
    if freshness::waits(method, path) {
        query.insert("min_position".to_owned());
    }
    let if_match = parameters().any(|parameter| {
        matches!(parameter.parameter_in, ParameterIn::Header) && header::IF_MATCH.as_str() == parameter.name
    });
    let is_safe = method.is_safe();
    Takes { query, body: is_safe || operation.request_body.is_some(), if_match: is_safe || if_match }
}

/// The middleware.
pub(super) async fn only(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let Some(takes) = ROUTES.get(&(request.method().clone(), path)) else { return next.run(request).await };
    let known: Vec<&str> = takes.query.iter().map(String::as_str).collect();
    if let Some(problem) = unknown(request.uri().query().unwrap_or_default(), &known, "route") {
        return problem.into_response();
    }
    if !takes.if_match && request.headers().contains_key(header::IF_MATCH) {
        // To do it all the same would be against what was asked for.
        let reason = "is for changes of the settings of a target or a listing, and this is none: leave it out";
        return Problem::field("If-Match", reason).into_response();
    }
    if takes.body || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match input::whole(body).await {
        Ok(body) if says_nothing(&body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(_) => Problem::field("body", "this route takes no body: leave it out").into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Programs that send JSON send an object without fields, or null, where they have nothing to say.
fn says_nothing(body: &[u8]) -> bool {
    body.trim_ascii().is_empty()
        || match serde_json::from_slice(body) {
            Ok(Value::Null) => true,
            Ok(Value::Object(fields)) => fields.is_empty(),
            _ => false,
        }
}

/// Characters of a name that the answer repeats.
const LONGEST_NAME: usize = 100;

/// What is wrong with a query that says more than these parameters, each once; `what` is what takes them.
pub(crate) fn unknown(query: &str, takes: &[&str], what: &str) -> Option<Problem> {
    let mut seen = BTreeSet::new();
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    let name = names.find(|name| !takes.contains(&name.as_ref()) || !seen.insert(name.clone()))?;
    if takes.contains(&name.as_ref()) {
        return Some(Problem::twice(name));
    }
    let known = takes.join(", ");
    let reason = if known.is_empty() { "takes none".to_owned() } else { format!("takes {known}") };
    let name: String = if name.is_empty() { "query".to_owned() } else { name.chars().take(LONGEST_NAME).collect() };
    Some(Problem::field(name, format!("is no parameter of this {what}, which {reason}")))
}

#[cfg(test)]
mod tests {
    use super::{says_nothing, unknown};

    #[test]
    fn the_first_parameter_that_is_not_known_is_named_with_those_that_are() {
        let said = |query, takes| unknown(query, takes, "page").map(|problem| (problem.field, problem.detail));
        assert_eq!(said("", &[]), None);
        assert_eq!(said("q=x&cursor=", &["q", "cursor"]), None);
        let told = |name: &str, detail: &str| Some((Some(name.to_owned()), detail.to_owned()));
        assert_eq!(said("q=x&helth=bad", &["q"]), told("helth", "is no parameter of this page, which takes q"));
        assert_eq!(said("q=x&cursor=&q=x", &["q", "cursor"]), told("q", "is given twice; give it once"));
        assert_eq!(said("=x", &[]), told("query", "is no parameter of this page, which takes none"));
    }

    #[test]
    fn a_body_without_a_word_says_nothing() {
        for body in ["", " \n", "{}", " { } ", "null"] {
            assert!(says_nothing(body.as_bytes()), "{body:?}");
        }
        for body in ["{\"reason\":\"x\"}", "[]", "{} {}", "{", "0", "false", "\"\"", "dry_run=true", "\0"] {
            assert!(!says_nothing(body.as_bytes()), "{body:?}");
        }
    }
}
