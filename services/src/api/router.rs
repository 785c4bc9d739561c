//! The API's routes, each behind its admission, and the page to browse their document.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use tower::ServiceBuilder;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::ProblemKind;
use super::{Api, admission, conditional, described, freshness, idempotency, openapi};

/// Where the document is.
const DOCUMENT: &str = "/api/openapi.json";

impl Api {
    /// The routes.
    pub(crate) fn router(&self) -> Router {
        let (routes, _) = openapi::routes().split_for_parts();
        let admitted = ServiceBuilder::new()
            .layer(from_fn_with_state(self.clone(), admission::admit))
            .layer(from_fn(described::only))
            .layer(from_fn_with_state(self.clone(), idempotency::once))
            .layer(from_fn_with_state(self.clone(), freshness::wait_for_position))
            .layer(from_fn(conditional::only_if_new));
        routes
            .method_not_allowed_fallback(|| async {
                ProblemKind::MethodNotAllowed.because("this path has no such method; see /api/docs")
            })
            .route_layer(admitted)
            .with_state(self.clone())
    }

    /// The page to browse the document. Its own scripts and styles alone run there, some of which stand in the page.
    pub(crate) fn docs(&self) -> Router {
        let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; \
            object-src 'none'; base-uri 'none'";
        let policy =
            SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        let page = Router::from(SwaggerUi::new("/api/docs").config(Config::from(DOCUMENT)));
        page.route(DOCUMENT, get(openapi::served)).layer(policy).with_state(self.clone())
    }
}
