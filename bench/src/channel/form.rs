//! What is read from queries and forms, and written as JSON.

use bytes::Bytes;
use serde_json::Value;

/// The value of a parameter of a query or a form.
pub fn parameter(form: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(form.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A value as the body of an answer.
pub fn json_bytes(value: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}
