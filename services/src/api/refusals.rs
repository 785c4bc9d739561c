//! What the framework refuses by itself, told as a problem like everything else; and the request's id on every answer.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use uuid::Uuid;

use super::problem::{PROBLEM_JSON, Problem, ProblemKind};

/// The header with the request's id, in and out.
pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;

/// The outermost middleware: gives a request without an id one, and answers with it.
pub(super) async fn with_request_id(mut request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(|| {
        let id = Uuid::now_v7().to_string();
        HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("none"))
    });
    request.headers_mut().insert(REQUEST_ID.clone(), id.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID.clone(), id);
    response
}

fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(&REQUEST_ID)?;
    let fits = (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.to_str().is_ok();
    fits.then(|| id.clone())
}

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
    if let Some(allow) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}

fn problem(status: StatusCode) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge.because("a body has at most 256 KiB"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ProblemKind::UnsupportedMediaType.because("send a form, or JSON where the path is one of the API")
        }
        StatusCode::NOT_FOUND => ProblemKind::NotFound.because("there is nothing here; see /api/docs"),
        StatusCode::METHOD_NOT_ALLOWED => ProblemKind::MethodNotAllowed.because("see /api/docs"),
        status if status.is_server_error() => ProblemKind::Internal.because("ask the operator, with the X-Request-Id"),
        _ => Problem::field("body", "a field of the form is missing, or is not as it has to be"),
    }
}
