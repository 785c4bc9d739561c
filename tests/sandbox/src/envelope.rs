//! The shapes of every answer: the success envelope, paging keys on lists, and refusals. Documented: the text of a
//! failure stands in `result`, but in `message` for 403, 429 and listing validation; validation fails with HTTP 200.

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

#[derive(Serialize)]
struct Success<'a, T: ?Sized> {
    status: &'static str,
    result: &'a T,
    #[serde(flatten)]
    page: Option<Page>,
}

/// Paging keys; `count` is the total under the filter.
#[derive(Serialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    limit: usize,
    offset: usize,
    count: usize,
    page: usize,
    total_pages: usize,
}

impl Page {
    pub fn new(limit: usize, offset: usize, count: usize) -> Self {
        Self { limit, offset, count, page: offset / limit.max(1) + 1, total_pages: count.div_ceil(limit.max(1)) }
    }
}

pub fn success<T: Serialize + ?Sized>(result: &T) -> Response {
    json_answer(StatusCode::OK, &Success { status: "success", result, page: None })
}

pub fn listed<T: Serialize + ?Sized>(result: &T, page: Page) -> Response {
    json_answer(StatusCode::OK, &Success { status: "success", result, page: Some(page) })
}

/// The empty success of deletes and of the batch calendar.
pub fn empty() -> Response {
    success::<[(); 0]>(&[])
}

/// A success around text that already is JSON.
pub fn raw(result: &str) -> Response {
    json_text(StatusCode::OK, format!(r#"{{"status":"success","result":{result}}}"#))
}

pub fn json_answer<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response {
    json_text(status, serde_json::to_string(body).expect("answers hold only string keys"))
}

pub fn json_text(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

/// Why a call was not done.
#[derive(Debug)]
pub enum Refusal {
    /// Unknown id or route: HTTP 404.
    NotFound(&'static str),
    /// A body that is no JSON: HTTP 400.
    NotJson,
    /// Validation outside listings: HTTP 200, text in `result`.
    Invalid(String),
    /// Validation of a listing: HTTP 200, text in `message`.
    InvalidListing(String),
    /// Missing, unknown, revoked or too fresh token: HTTP 403, text in `message`.
    Denied,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, key, text) = match self {
            Self::NotFound(what) => (StatusCode::NOT_FOUND, "result", format!("{what} not found")),
            Self::NotJson => (StatusCode::BAD_REQUEST, "result", "The request body is not valid JSON.".to_owned()),
            Self::Invalid(text) => (StatusCode::OK, "result", text),
            Self::InvalidListing(text) => (StatusCode::OK, "message", text),
            Self::Denied => (
                StatusCode::FORBIDDEN,
                "message",
                "The resource owner or authorization server denied the request.".to_owned(),
            ),
        };
        json_answer(status, &json!({ "status": "fail", key: text }))
    }
}
