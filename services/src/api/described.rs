//! Nothing is done for a request whose query says more than its route takes: a parameter that nobody reads may be a misspelt one, or
//! a wish that is not kept (`dry_run=true`). What a route takes is what its document says.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};

use super::problem::Problem;
use super::{freshness, openapi};

/// Names of the parameters in a route's query.
type Names = BTreeSet<String>;

static ROUTES: LazyLock<HashMap<(Method, String), Names>> = LazyLock::new(|| {
    let document = openapi::document();
    // Whoever probes may ask as he likes.
    let api = document.paths.paths.iter().filter(|(path, _)| path.starts_with("/api/"));
    api.flat_map(|(path, item)| operations(path, item)).collect()
});

fn operations(path: &str, item: &PathItem) -> Vec<((Method, String), Names)> {
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

fn takes(method: &Method, path: &str, operation: &Operation) -> Names {
    let parameters = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    });
    let query = parameters.filter(|parameter| matches!(parameter.parameter_in, ParameterIn::Query));
    let mut query: Names = query.map(|parameter| parameter.name.clone()).collect();
    if freshness::waits(method, path) {
        query.insert("min_position".to_owned());
    }
    query
}

/// The middleware.
pub(super) async fn only(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let Some(takes) = ROUTES.get(&(request.method().clone(), path)) else { return next.run(request).await };
    let takes: Vec<&str> = takes.iter().map(String::as_str).collect();
    match unknown(request.uri().query().unwrap_or_default(), &takes, "route") {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

/// Characters of a name that the answer repeats.
const LONGEST_NAME: usize = 100;

/// What is wrong with a query that says more than these parameters; `what` is what takes them.
pub(crate) fn unknown(query: &str, takes: &[&str], what: &str) -> Option<Problem> {
    let (name, _) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| !takes.contains(&name.as_ref()))?;
    let known = takes.join(", ");
    let reason = if known.is_empty() { "takes none".to_owned() } else { format!("takes {known}") };
    let name: String = if name.is_empty() { "query".to_owned() } else { name.chars().take(LONGEST_NAME).collect() };
    Some(Problem::field(name, format!("is no parameter of this {what}, which {reason}")))
}

#[cfg(test)]
mod tests {
    use super::unknown;

    #[test]
    fn the_first_parameter_that_is_not_known_is_named_with_those_that_are() {
        let said = |query, takes| unknown(query, takes, "page").map(|problem| (problem.field, problem.detail));
        assert_eq!(said("", &[]), None);
        assert_eq!(said("q=x&cursor=", &["q", "cursor"]), None);
        let told = |name: &str, detail: &str| Some((Some(name.to_owned()), detail.to_owned()));
        assert_eq!(said("q=x&helth=bad", &["q"]), told("helth", "is no parameter of this page, which takes q"));
        assert_eq!(said("=x", &[]), told("query", "is no parameter of this page, which takes none"));
    }
}
