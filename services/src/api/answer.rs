//! What a change is answered with: where it stands in the journal, and the version that it left; and how a thing is read with
//! its version.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::recorded::Position;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;

/// The position of a change in the journal: `?min_position=` waits until the read models show it.
pub(crate) static POSITION: HeaderName = HeaderName::from_static("distribution-position");

/// The answer to a change.
#[derive(Debug)]
pub(crate) struct Changed<T> {
    pub status: StatusCode,
    /// `None` where there was nothing to change.
    pub position: Option<Position>,
    pub version: Option<i64>,
    pub location: Option<String>,
    pub body: T,
}

impl<T> Changed<T> {
    pub(crate) fn new(position: Option<Position>, version: i64, body: T) -> Self {
        Self { status: StatusCode::OK, position, version: Some(version), location: None, body }
    }

    /// Made at this path.
    pub(crate) fn created(self, location: String) -> Self {
        Self { status: StatusCode::CREATED, location: Some(location), ..self }
    }

    /// Taken, and not done yet.
    pub(crate) fn accepted(self) -> Self {
        Self { status: StatusCode::ACCEPTED, ..self }
    }
}

impl<T: Serialize> IntoResponse for Changed<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        if let Some(position) = self.position {
            headers.insert(POSITION.clone(), HeaderValue::from(position.0));
        }
        if let Some(tag) = self.version.and_then(tag) {
            headers.insert(header::ETAG, tag);
        }
        if let Some(location) = self.location.and_then(|location| HeaderValue::from_str(&location).ok()) {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}

/// A thing with its version. Its ETag tells this answer from others of the same version, too: a read model may add to a
/// thing what its version says nothing of, such as the new name of a listing's target.
#[derive(Debug)]
pub(crate) struct Versioned<T>(pub i64, pub T);

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let body = match serde_json::to_vec(&self.1) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(error = %error, "an answer is no JSON");
                return Problem::bug().into_response();
            }
        };
        let print =
            Sha256::digest(&body).iter().take(PRINT_DIGITS / 2).fold(0, |n: u64, byte| (n << 8) | u64::from(*byte));
        let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}.{print:0PRINT_DIGITS$x}\"", self.0)) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// Hexadecimal digits of an answer's print.
const PRINT_DIGITS: usize = 16;

fn tag(version: i64) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{version}\"")).ok()
}

/// The version in what stands in an ETag's quotes. What the read models add to a thing is no part of what a change changes.
pub(super) fn version_of(opaque: &[u8]) -> Option<i64> {
    let opaque = str::from_utf8(opaque).ok()?;
    let (version, print) = match opaque.split_once('.') {
        Some((version, print)) => (version, Some(print)),
        None => (opaque, None),
    };
    let is_print = |print: &str| {
        print.len() == PRINT_DIGITS && print.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let number: i64 = version.parse().ok()?;
    // As it was written, character by character: no sign, no zeros before it.
    let as_told = number >= 0 && number.to_string() == version;
    (as_told && print.is_none_or(is_print)).then_some(number)
}
