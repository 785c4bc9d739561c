//! Everything that is served, and what every request passes.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri, Version, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::in_time::{Pulse, in_time};
use super::{heads, refusals, unread};
use crate::api::input::LARGEST_BODY;
use crate::api::problem::{Problem, ProblemKind};
use crate::api::{Api, admission, probes, ties};
use crate::dashboard::{self, Dashboard};

/// All of it as one service.
pub fn router(api: &Api, dashboard: Dashboard) -> Router {
    let open = from_fn_with_state(api.clone(), admission::by_address);
    let for_everybody =
        dashboard::sign_in(dashboard.clone()).merge(dashboard::problems(dashboard.clone())).merge(api.docs());
    Router::new()
        .merge(api.router())
        .merge(for_everybody.layer(open))
        .merge(dashboard::router(dashboard))
        .route_layer(from_fn(ties::routed))
        .fallback(unknown)
        .layer(from_fn_with_state(Pulse::of(api.pool().clone()), in_time))
        .layer(from_fn_with_state(api.clone(), probes::alone_until_open))
        .layer(from_fn(dashboard::for_people))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(RequestBodyLimitLayer::new(LARGEST_BODY))
        .layer(from_fn(refusals::coded))
        .layer(from_fn(heads::bounded))
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(has_no_etag)))
        .layer(from_fn(refusals::plain_at_least))
        .layer(from_fn(refusals::as_problems))
        .layer(from_fn_with_state(api.clone(), admission::uncounted))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(from_fn(ties::tie))
        .layer(from_fn_with_state(api.clone(), last))
        .layer(from_fn(unread::thrown_away))
}

/// A strong ETag stands for bytes: the compressed ones would need another (RFC 9110, 8.8.3.3). Answers that have one are short.
fn has_no_etag(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    !headers.contains_key(header::ETAG)
}

/// After the stop an answer is the last one of its connection, so that the caller's next request goes elsewhere.
async fn last(State(api): State<Api>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if api.stops() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn unknown(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    ProblemKind::NotFound.because(format!("there is nothing at {path}; see /api/docs"))
}
