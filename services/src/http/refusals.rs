//! What the framework refuses by itself, told as a problem like everything else; codings that are not taken, and those that are asked for.

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::api::input::too_large;
use crate::api::problem::{PROBLEM_JSON, Problem, ProblemKind};

/// The middleware that tells a refusal of the framework as a problem.
pub(super) async fn as_problems(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let told = kind.starts_with(PROBLEM_JSON) || kind.starts_with("text/html") || kind.starts_with("application/json");
    if told || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let mut problem = problem(status).into_response();
    let kept = |name: &HeaderName| *name == header::ALLOW || name.as_str().starts_with("ratelimit-");
    for (name, value) in response.headers().iter().filter(|(name, _)| kept(name)) {
        problem.headers_mut().insert(name, value.clone());
    }
    problem
}

/// The middleware that refuses bodies in a coding (RFC 9110, 15.5.16). Bodies are small here, so a coding would save nothing, and a
/// body that grows while it is read is a way to fill the memory.
pub(super) async fn coded(request: Request, next: Next) -> Response {
    let lines = request.headers().get_all(header::CONTENT_ENCODING).into_iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let plain = codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"));
    if plain || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let problem = ProblemKind::UnsupportedMediaType.because("send the body as it is, without a Content-Encoding");
    let mut response = Problem { field: Some("Content-Encoding".to_owned()), ..problem }.into_response();
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

/// The middleware that leaves out of an `Accept-Encoding` what refuses answers without a coding. Where no coding of ours is left, the
/// compression would say 406 after all was done, and above the whole answer. To send that as it is, is right, too (RFC 9110, 12.5.3).
pub(super) async fn plain_at_least(mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    let lines = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|line| line.to_str().ok());
    let (refusing, wanted): (Vec<&str>, Vec<&str>) =
        lines.flat_map(|line| line.split(',')).partition(|coding| refuses_plain(coding));
    if !refusing.is_empty()
        && let Ok(wanted) = HeaderValue::from_str(&wanted.join(","))
    {
        headers.insert(header::ACCEPT_ENCODING, wanted);
    }
    next.run(request).await
}

/// Whether it is `identity;q=0` or `*;q=0`, with any number of noughts.
fn refuses_plain(coding: &str) -> bool {
    let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
    let plain = name.trim().eq_ignore_ascii_case("identity") || name.trim() == "*";
    plain && !weight.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

fn problem(status: StatusCode) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ProblemKind::UnsupportedMediaType.because("send a form, or JSON where the path is one of the API")
        }
        StatusCode::NOT_FOUND => ProblemKind::NotFound.because("there is nothing here; see /api/docs"),
        StatusCode::METHOD_NOT_ALLOWED => ProblemKind::MethodNotAllowed.because("see /api/docs"),
        status if status.is_server_error() => Problem::bug(),
        _ => Problem::field("body", "a field of the form is missing, or is not as it has to be"),
    }
}
