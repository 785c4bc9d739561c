//! Bodies and cursors of requests as anybody may send them, for the fuzz targets `api_body` and `cursor`. No part of the
//! program.

use std::fmt::Debug;
use std::sync::OnceLock;

use axum::extract::{FromRequest as _, FromRequestParts as _, Request};
use axum::http::{Uri, header};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::input::{Body, Query};
use super::listings::{LinkListing, ListingsQuery, Retry};
use super::page::{decode, encode};
use super::problem::Problem;
use super::targets::{ConfigureTarget, CreateTarget, Reason, RotateCredential};

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().enable_time().build().expect("a runtime can be made"))
}

/// A body; its first byte says of what.
pub fn body(bytes: &[u8]) {
    let Some((what, json)) = bytes.split_first() else { return };
    match what % 6 {
        0 => read::<CreateTarget>(json),
        1 => read::<LinkListing>(json),
        2 => read::<RotateCredential>(json),
        3 => read::<Reason>(json),
        4 => read::<ConfigureTarget>(json),
        _ => read::<Retry>(json),
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) {
    let request = Request::builder().header(header::CONTENT_TYPE, "application/json");
    let Ok(request) = request.body(axum::body::Body::from(json.to_vec())) else { return };
    let read = runtime().block_on(Body::<T>::from_request(request, &()));
    let value = serde_json::from_slice::<Value>(json);
    match read {
        Ok(_) => {
            let value = value.expect("what is taken is JSON");
            assert!(!holds_nul(&value), "PostgreSQL cannot keep it");
        }
        Err(problem) => {
            refused(&problem);
            let secret = value.as_ref().ok().and_then(|value| value.get("secret")?.as_str());
            // Whoever writes it into another field as well may be shown that one.
            let once = |secret: &&str| {
                secret.len() > 8 && str::from_utf8(json).is_ok_and(|text| text.matches(*secret).count() < 2)
            };
            if let Some(secret) = secret.filter(once) {
                let field = problem.field.unwrap_or_default();
                assert!(!problem.detail.contains(secret) && !field.contains(secret), "a secret is shown");
            }
        }
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

fn refused(problem: &Problem) {
    assert!((400..500).contains(&problem.status) && !problem.detail.is_empty(), "{problem:?}");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct After {
    name: String,
    id: Uuid,
}

/// A query, and a cursor of every kind that there is.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(uri) = format!("/?{text}").parse::<Uri>()
        && let Ok(request) = Request::builder().uri(uri).body(())
    {
        let query = runtime().block_on(Query::<ListingsQuery>::from_request_parts(&mut request.into_parts().0, &()));
        if let Err(problem) = query {
            refused(&problem);
        }
    }
    again::<i64>(text);
    again::<u64>(text);
    again::<Uuid>(text);
    again::<(DateTime<Utc>, Uuid)>(text);
    again::<After>(text);
}

/// What a cursor says can be said by a cursor.
fn again<K: DeserializeOwned + Serialize + PartialEq + Debug>(text: &str) {
    match decode::<K>(Some(text)) {
        Ok(key) => assert_eq!(decode::<K>(Some(&encode(&key.as_ref().expect("a cursor has a key")))), Ok(key)),
        Err(problem) => refused(&problem),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn whatever_comes_goes_through() {
        crate::variations::each("api_body", super::body);
        crate::variations::each("cursor", super::cursor);
    }
}
