//! Reading only what is new (RFC 9110, 13.1.2): a read whose ETag the caller names in `If-None-Match` is answered with 304 and
//! no body.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headers::{ETag, HeaderMapExt as _, IfNoneMatch};
use utoipa::IntoParams;

use super::problem::Problem;

/// What `If-Match` and `If-None-Match` look like, as a regular expression.
pub(super) const ETAGS_PATTERN: &str = r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#;
/// The most characters of one: a hundred ETags and more.
pub(super) const LONGEST_ETAGS: usize = 4_096;

/// `If-None-Match` as the document describes it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description alone")]
pub(super) struct IfNoneMatchHeader {
    /// ETags that were read, or *; 304 if one of them still holds
    #[param(rename = "if-none-match", example = "\"3.0123456789abcdef\"")]
    if_none_match: Option<String>,
}

/// The middleware; nothing between it and the handler changes an answer.
pub(super) async fn only_if_new(request: Request, next: Next) -> Response {
    if !request.headers().contains_key(header::IF_NONE_MATCH) {
        return next.run(request).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        // To make the change all the same would be against what was asked for.
        return Problem::field("If-None-Match", "is for reads; a change takes If-Match").into_response();
    }
    // One that cannot be read names nothing, and the whole answer is right.
    let named: Option<IfNoneMatch> = request.headers().typed_get();
    let answer = next.run(request).await;
    let tag: Option<ETag> = answer.headers().typed_get();
    match named.zip(tag) {
        Some((named, tag)) if answer.status() == StatusCode::OK && !named.precondition_passes(&tag) => {
            unchanged(answer)
        }
        _ => answer,
    }
}

/// The headers of the answer, but for those of its body (RFC 9110, 15.4.5).
fn unchanged(answer: Response) -> Response {
    let (mut parts, _) = answer.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::empty())
}
