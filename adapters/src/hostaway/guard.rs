//! The one gate that every body passes. At Hostaway an empty array deletes all rows of its kind, even when the request
//! is then refused, and a null keeps what is there: neither is ever meant, so neither is ever sent.

use serde_json::Value;

/// Refuses a body with an empty array or a null anywhere in it, and says where.
pub(super) fn check_body(body: &Value) -> Result<(), String> {
    let reason = match body {
        Value::Null => "it is null",
        Value::Array(rows) if rows.is_empty() => "it is an empty list, which deletes at Hostaway",
        Value::Array(rows) => {
            return rows.iter().enumerate().try_for_each(|(index, row)| within(&format!("[{index}]"), row));
        }
        Value::Object(fields) if fields.is_empty() => "it says nothing",
        Value::Object(fields) => return fields.iter().try_for_each(|(name, value)| within(&format!(".{name}"), value)),
        _ => return Ok(()),
    };
    Err(format!(": {reason}"))
}

fn within(place: &str, value: &Value) -> Result<(), String> {
    check_body(value).map_err(|reason| format!("{place}{reason}"))
}
