//! A page refuses a query that says more than it takes, as the API does: what it would show is not what was asked for.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::api::described::unknown;

/// The pages that take something, by their routes, with what that is. All others take nothing.
const TAKES: [(&str, &[&str]); 11] = [
    ("/live", &["topic"]),
    ("/search", &["q"]),
    ("/targets", &["health", "state", "cursor"]),
    ("/targets/{target_id}/history", &["cursor"]),
    ("/listings", &["target_id", "state", "outcome", "cursor"]),
    ("/listings/{listing_id}", &["before"]),
    ("/listings/{listing_id}/history", &["cursor"]),
    ("/listings/{listing_id}/preview", &["position"]),
    ("/syncs/{sync_id}", &["fields"]),
    ("/audit", OF_AUDIT),
    ("/dead-letters", &["cursor"]),
];

const OF_AUDIT: &[&str] = &[
    "account_id",
    "target_id",
    "listing_id",
    "unit_id",
    "outcome",
    "class",
    "cause",
    "trace_id",
    "since",
    "until",
    "ended_since",
    "called_since",
    "cursor",
];

/// The middleware.
pub(super) async fn only(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let takes = TAKES.iter().find(|(page, _)| *page == path).map_or(&[][..], |(_, takes)| *takes);
    match unknown(request.uri().query().unwrap_or_default(), takes, "page") {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::policy::PAGES;

    #[test]
    fn what_takes_something_is_a_page() {
        for (page, takes) in TAKES {
            assert!(PAGES.iter().any(|route| route.path == page && route.method == "GET"), "{page}");
            assert!(!takes.is_empty(), "{page}");
        }
    }
}
