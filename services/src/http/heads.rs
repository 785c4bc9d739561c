//! Heads of requests that are longer than any that this service has a use for, and those that do not say one host. The parser of HTTP
//! has limits of its own, further out, and refuses what is beyond them by itself: without a type, an id or a word.

use axum::extract::Request;
use axum::http::{HeaderMap, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::api::problem::{Problem, ProblemKind};

/// The most headers of a request.
const MOST_HEADERS: usize = 100;
/// How many the parser makes room for.
pub(super) const PARSED_HEADERS: usize = 2 * MOST_HEADERS;
/// The longest that their names and values may be together, in KiB.
const LONGEST_HEADERS: usize = 64;
/// The longest path with its query, in KiB.
const LONGEST_URI: usize = 8;
const KIB: usize = 1024;

/// The middleware.
pub(super) async fn bounded(request: Request, next: Next) -> Response {
    let refused = refusal(request.uri(), request.headers());
    match refused.or_else(|| of_host(request.version(), request.headers())) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(uri: &Uri, headers: &HeaderMap) -> Option<Problem> {
    if uri.path_and_query().is_some_and(|address| address.as_str().len() > LONGEST_URI * KIB) {
        let reason = format!("a path with its query has at most {LONGEST_URI} KiB");
        return Some(ProblemKind::UriTooLong.because(reason));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > MOST_HEADERS || bytes > LONGEST_HEADERS * KIB {
        let reason = format!("a request has at most {MOST_HEADERS} headers, of {LONGEST_HEADERS} KiB together");
        return Some(ProblemKind::HeadersTooLarge.because(reason));
    }
    None
}

/// RFC 9112, 3.2: what stands before this service may go by another host than it does.
fn of_host(version: Version, headers: &HeaderMap) -> Option<Problem> {
    match headers.get_all(header::HOST).iter().count() {
        0 if version == Version::HTTP_11 => Some(Problem::field("Host", "is missing; HTTP/1.1 names the host")),
        0 | 1 => None,
        _ => Some(Problem::twice("Host")),
    }
}
