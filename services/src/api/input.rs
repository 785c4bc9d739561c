//! What handlers take from a request: bodies, queries and ids, each refused with the field that is wrong.

mod fields;
mod nul;
pub(super) mod read;
mod said;

use std::error::Error;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, RawPathParams, Request};
use axum::http::header;
use axum::http::request::Parts;
use domain::text::cut;
use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::problem::{Problem, ProblemKind};
use nul::NUL;
use read::Read as _;

/// What is shown of a value that cannot be used.
const LONGEST_SHOWN: usize = 80;

/// The largest body of a request, a form among them, in bytes.
pub(crate) const LARGEST_BODY: usize = 256 * 1024;

/// The longest that a body may take to arrive.
const BODY: Duration = Duration::from_secs(10);

/// A body is larger than [`LARGEST_BODY`].
pub(crate) fn too_large() -> Problem {
    ProblemKind::TooLarge.because(format!("a body has at most {} KiB", LARGEST_BODY / 1024))
}

/// All of a body, whatever it says: that of every request that has one is read here.
pub(crate) async fn whole(body: axum::body::Body) -> Result<Bytes, Problem> {
    let late = |_| ProblemKind::RequestTimedOut.because("the body did not arrive within 10 s");
    let arrived = tokio::time::timeout(BODY, Limited::new(body, LARGEST_BODY).collect()).await.map_err(late)?;
    arrived.map(Collected::to_bytes).map_err(|error| if is_too_large(&*error) { too_large() } else { cut_off() })
}

/// By whoever has limited it, on the way or here.
fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(<dyn Error>::is::<LengthLimitError>)
}

/// It ended before its end, or is not in chunks although it says so.
fn cut_off() -> Problem {
    Problem::field("body", "was cut off")
}

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let reason = "send the body as JSON, with Content-Type: application/json";
            return Err(ProblemKind::UnsupportedMediaType.because(reason));
        }
        let bytes = whole(request.into_body()).await?;
        if let Some(field) = nul::field(&bytes) {
            return Err(Problem::field(field, NUL));
        }
        // A list would be read as the fields in their order, which nobody is told.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(said::of_no_object(&bytes, fields::of::<T>()));
        }
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| said::of_json(&error))?;
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
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| said::of_fields(&error, "query"))
    }
}

/// The fields of a form.
#[derive(Debug)]
pub(crate) struct Form<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = whole(request.into_body()).await?;
        if let Some((field, _)) = form_urlencoded::parse(&bytes).find(|(_, value)| value.contains('\0')) {
            return Err(Problem::field(field, NUL));
        }
        // The token was looked at before.
        let fields = form_urlencoded::parse(&bytes).filter(|(name, _)| name != "csrf_token");
        let fields = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(fields.as_bytes()));
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| said::of_fields(&error, "form"))
    }
}

/// An id in the path, or several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refusal = match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(id)) => return Ok(Self(id)),
            Err(refusal) => refusal,
        };
        let given = RawPathParams::from_request_parts(parts, state).await.ok();
        let names: Vec<&str> = given.iter().flat_map(RawPathParams::iter).map(|(name, _)| name).collect();
        let name = wrong(&refusal, &names).unwrap_or("path").to_owned();
        let right =
            if name.ends_with("_id") || name == "path" { Uuid::RIGHT } else { "is a number, as a list gives it" };
        Err(Problem::field(name, right))
    }
}

/// The parameter of a path that cannot be used. Where one is no UTF-8, none of them is given.
fn wrong<'a>(refusal: &'a PathRejection, names: &[&'a str]) -> Option<&'a str> {
    let first = names.first().copied();
    let PathRejection::FailedToDeserializePathParams(failed) = refusal else { return first };
    match failed.kind() {
        ErrorKind::InvalidUtf8InPathParam { key }
        | ErrorKind::ParseErrorAtKey { key, .. }
        | ErrorKind::DeserializeError { key, .. } => Some(key.as_str()),
        ErrorKind::ParseErrorAtIndex { index, .. } => names.get(*index).copied(),
        _ => first,
    }
}

/// A filter that has to be one of these.
pub(crate) fn one_of(field: &str, given: Option<&str>, known: &[&str]) -> Result<(), Problem> {
    match given.filter(|given| !known.contains(given)) {
        Some(other) => {
            let shown = cut(other, LONGEST_SHOWN);
            Err(Problem::field(field, format!("{shown:?}; one of {}", known.join(", "))))
        }
        None => Ok(()),
    }
}
