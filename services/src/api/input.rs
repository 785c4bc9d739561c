//! What handlers take from a request: bodies, queries and ids, each refused with the field that is wrong.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::{Problem, ProblemKind};

/// PostgreSQL has no place for it, in text or in JSON.
const NUL: &str = "holds the character U+0000; leave it out";

/// The longest that a body may take to arrive.
pub(super) const BODY: Duration = Duration::from_secs(10);

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let reason = "send the body as JSON, with Content-Type: application/json";
            return Err(ProblemKind::UnsupportedMediaType.because(reason));
        }
        let bytes = tokio::time::timeout(BODY, Bytes::from_request(request, state)).await;
        let late = |_| ProblemKind::RequestTimedOut.because("the body did not arrive within 10 s");
        let bytes = bytes.map_err(late)?.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge.because("a body has at most 256 KiB"),
            _ => Problem::field("body", "was cut off"),
        })?;
        if holds_nul(&bytes) {
            return Err(Problem::field("body", NUL));
        }
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." || path == "?" { "body".to_owned() } else { path };
            let (field, reason) = told(field, &error.inner().to_string());
            Problem::field(field, reason)
        })?;
        reader.end().map_err(|error| Problem::field("body", error.to_string()))?;
        Ok(Self(read))
    }
}

/// The query of a URL.
#[derive(Debug)]
pub(crate) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        if let Some((field, _)) = form_urlencoded::parse(query.as_bytes()).find(|(_, value)| value.contains('\0')) {
            return Err(Problem::field(field, NUL));
        }
        let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." || path == "?" { "query".to_owned() } else { path };
            let (field, reason) = told(field, &error.inner().to_string());
            Problem::field(field, reason)
        })
    }
}

/// The fields of a form.
#[derive(Debug)]
pub(crate) struct Form<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let cut = |_| Problem::field("form", "was cut off, or has more than 256 KiB");
        let bytes = Bytes::from_request(request, state).await.map_err(cut)?;
        if let Some((field, _)) = form_urlencoded::parse(&bytes).find(|(_, value)| value.contains('\0')) {
            return Err(Problem::field(field, NUL));
        }
        // The token was looked at before.
        let fields = form_urlencoded::parse(&bytes).filter(|(name, _)| name != "csrf_token");
        let fields = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(fields.as_bytes()));
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { "form".to_owned() } else { path };
            let reason = reason(&field, &error.inner().to_string());
            Problem::field(field, reason)
        })
    }
}

/// An id in the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if let Ok(Path(id)) = Path::<T>::from_request_parts(parts, state).await {
            return Ok(Self(id));
        }
        let given = RawPathParams::from_request_parts(parts, state).await;
        let name = given.ok().and_then(|given| given.iter().next().map(|(name, _)| name.to_owned()));
        let name = name.unwrap_or_else(|| "path".to_owned());
        let right = if name.ends_with("_id") || name == "path" {
            "is a UUID, as a list gives it"
        } else {
            "is a number, as a list gives it"
        };
        Err(Problem::field(name, right))
    }
}

/// What serde says, of the field that it is about.
fn told(field: String, said: &str) -> (String, String) {
    if let Some(missing) = said.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        let whole = if field == "body" { missing.to_owned() } else { format!("{field}.{missing}") };
        return (whole, "is missing".to_owned());
    }
    let said = said.split(" at line ").next().unwrap_or(said);
    let reason = reason(&field, said);
    (field, reason)
}

/// What serde says, without the value that it met: that may be a secret in the wrong place.
fn reason(field: &str, said: &str) -> String {
    if field.split('.').next_back() == Some("secret") {
        return "give the secret as a string".to_owned();
    }
    // What chrono says of a text that is no time.
    if ["invalid characters", "premature end of input", "out of range", "trailing input"]
        .iter()
        .any(|end| said.ends_with(end))
    {
        return "is a time in UTC, such as 2026-11-24T03:00:00Z".to_owned();
    }
    if said.contains("digit found in string")
        || said.contains("parse integer from empty string")
        || said.contains("number too large")
    {
        return "is a whole number".to_owned();
    }
    if said.starts_with("UUID parsing failed") {
        return "is a UUID, as a list gives it".to_owned();
    }
    if said.starts_with("EOF while parsing") {
        return "ends too early: it is no whole JSON document".to_owned();
    }
    match said.split_once(", expected ") {
        Some((met, expected)) if met.starts_with("invalid ") => format!("is not as it has to be: expected {expected}"),
        _ => said.to_owned(),
    }
}

/// Whether a string of a JSON text holds U+0000: only its escape can, and an escaped backslash before `u0000` is text.
fn holds_nul(json: &[u8]) -> bool {
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'\\' {
            let escape = bytes.as_slice();
            if escape.starts_with(b"u0000") {
                return true;
            }
            bytes.next();
        }
    }
    false
}

/// A filter that has to be one of these.
pub(super) fn one_of(field: &str, given: Option<&str>, known: &[&str]) -> Result<(), Problem> {
    match given.filter(|given| !known.contains(given)) {
        Some(other) => Err(Problem::field(field, format!("{other:?}; one of {}", known.join(", ")))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::holds_nul;

    #[test]
    fn only_an_escape_makes_a_nul() {
        assert!(holds_nul(br#"{"a":"x\u0000"}"#));
        assert!(holds_nul(br#"{"a":"\\\u0000"}"#));
        assert!(!holds_nul(br#"{"a":"\\u0000"}"#));
        assert!(!holds_nul(br#"{"a":"u0000\\"}"#));
    }
}
