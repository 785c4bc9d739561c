//! Everything that is served, and what every request passes.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_swagger_ui::SwaggerUi;

use super::problem::{Problem, ProblemKind};
use super::{Api, admission, freshness, idempotency, openapi, refusals, sign_in};
use crate::dashboard;

/// The longest that a request may take until its answer begins.
const LONGEST: Duration = Duration::from_secs(30);
/// The largest body, in bytes.
const LARGEST_BODY: usize = 256 * 1024;

/// The API as one service.
pub fn router(api: Api) -> Router {
    let (routes, _) = openapi::routes().split_for_parts();
    let admitted = ServiceBuilder::new()
        .layer(from_fn_with_state(api.clone(), admission::admit))
        .layer(from_fn_with_state(api.clone(), idempotency::once))
        .layer(from_fn_with_state(api.clone(), freshness::wait_for_position));
    let routes = routes
        .method_not_allowed_fallback(|| async {
            ProblemKind::MethodNotAllowed.because("this path has no such method; see /api/docs")
        })
        .route_layer(admitted)
        .with_state(api.clone());
    let open = from_fn_with_state(api.clone(), admission::by_address);
    Router::new()
        .merge(routes)
        .merge(sign_in::router().with_state(api.clone()).merge(docs()).layer(open))
        .merge(dashboard::router(api.clone()))
        .fallback(unknown)
        .layer(from_fn(dashboard::for_people))
        .layer(from_fn(in_time))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(RequestBodyLimitLayer::new(LARGEST_BODY))
        .layer(CompressionLayer::new())
        .layer(from_fn(refusals::as_problems))
        .layer(from_fn_with_state(api.clone(), admission::uncounted))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(from_fn(refusals::with_request_id))
        .layer(from_fn_with_state(api, last))
}

/// The page to browse the document. Its own scripts and styles alone run there, some of which stand in the page.
fn docs() -> Router {
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; \
        object-src 'none'; base-uri 'none'";
    let policy = SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    Router::from(SwaggerUi::new("/api/docs").url("/api/openapi.json", openapi::document())).layer(policy)
}

/// After the stop an answer is the last one of its connection, so that the caller's next request goes elsewhere.
async fn last(State(api): State<Api>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if api.inner.stop.is_cancelled() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Bodies that do not arrive count as well.
async fn in_time(request: Request, next: Next) -> Response {
    let late = |_| ProblemKind::TimedOut.because("it took too long; try again").retry_after(1).into_response();
    tokio::time::timeout(LONGEST, next.run(request)).await.unwrap_or_else(late)
}

async fn unknown(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    ProblemKind::NotFound.because(format!("there is nothing at {path}; see /api/docs"))
}
