//! The one character that PostgreSQL has no place for, in text or in JSON.

use domain::text::json_holds_nul;
use serde_json::Value;

/// What is said of a field that holds it.
pub(super) const NUL: &str = "holds the character U+0000; leave it out";

/// The field of a JSON text that holds U+0000, as `serde_path_to_error` writes it; `body` where it is no field.
pub(super) fn field(json: &[u8]) -> Option<String> {
    if !json_holds_nul(json) {
        return None;
    }
    let found = serde_json::from_slice(json).ok().and_then(|value: Value| path(&value));
    // A text that is no JSON, and one of two fields of a name.
    Some(found.filter(|path| !path.is_empty()).unwrap_or_else(|| "body".to_owned()))
}

/// The path of the first text that holds it; of a name that does, the path of its object.
fn path(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(values) => {
            values.iter().enumerate().find_map(|(at, value)| Some(under(&format!("[{at}]"), &path(value)?)))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match name.contains('\0') {
            true => Some(String::new()),
            false => Some(under(name, &path(value)?)),
        }),
        _ => None,
    }
}

fn under(name: &str, rest: &str) -> String {
    let between = if rest.is_empty() || rest.starts_with('[') { "" } else { "." };
    format!("{name}{between}{rest}")
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn only_an_escape_makes_a_nul_and_its_field_is_named() {
        let named = |json: &str| field(json.as_bytes());
        assert_eq!(named(r#"{"a":"x\u0000"}"#).as_deref(), Some("a"));
        assert_eq!(named(r#"{"a":"\\\u0000"}"#).as_deref(), Some("a"));
        assert_eq!(named(r#"{"b":1,"a":[{"c":["","\u0000"]}]}"#).as_deref(), Some("a[0].c[1]"));
        assert_eq!(named(r#"{"a\u0000":1}"#).as_deref(), Some("body"));
        assert_eq!(named(r#"{"a":"\u0000","a":"b"}"#).as_deref(), Some("body"));
        assert_eq!(named(r#""\u0000"#).as_deref(), Some("body"));
        assert_eq!(named(r#"{"a":"\\u0000"}"#), None);
        assert_eq!(named(r#"{"a":"u0000\\"}"#), None);
    }
}
