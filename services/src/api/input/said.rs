//! What serde says of an input that cannot be read, told of the field that it is about, and without the value that it met:
//! that may be a secret in the wrong place.
//!
//! That a field is missing or given twice, and that a value is of another kind, is known by serde's own words alone: its errors keep
//! no kind, neither does that of `serde_json` (whose category tells syntax from data), and a deserializer with errors of
//! our own would be more than this. Whatever else is wrong, the field says itself ([`super::read`]).

use domain::text::cut;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_path_to_error::{Error, Path};

use crate::api::problem::Problem;

/// The most characters of a field, and of what is said of it.
const LONGEST_FIELD: usize = 120;
const LONGEST_SAID: usize = 500;

/// Of a JSON body.
pub(super) fn of_json(error: &Error<serde_json::Error>) -> Problem {
    let (path, error) = (error.path(), error.inner());
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let said = said.strip_suffix(&place).unwrap_or(&said);
    match error.classify() {
        Category::Eof => Problem::field("body", "ends too early: it is no whole JSON document"),
        Category::Syntax => Problem::field("body", format!("is no JSON: {said}{place}")),
        Category::Io | Category::Data => of_field(path, "body", said),
    }
}

/// Of a body that is no object; `fields` are those that one could have.
pub(super) fn of_no_object(body: &[u8], fields: &[&str]) -> Problem {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| of_json(&error));
    match read.map(|IgnoredAny| fields.join(", ")) {
        Ok(fields) => Problem::field("body", format!("is not as it has to be: expected an object with {fields}")),
        Err(problem) => problem,
    }
}

/// Of the fields of a query or a form.
pub(super) fn of_fields(error: &Error<serde::de::value::Error>, whole: &str) -> Problem {
    of_field(error.path(), whole, &error.inner().to_string())
}

fn of_field(path: &Path, whole: &str, said: &str) -> Problem {
    let path = path.to_string();
    // A caller may make up a name of any length.
    let path = cut(&path, LONGEST_FIELD);
    let field = if ["", ".", "?"].contains(&path.as_str()) { whole.to_owned() } else { path };
    // Both are of the whole, and about a field.
    for (begin, reason) in [("missing field `", "is missing"), ("duplicate field `", "is given twice")] {
        if let Some(name) = said.strip_prefix(begin).and_then(|rest| rest.strip_suffix('`')) {
            return Problem::field(if field == whole { name.to_owned() } else { format!("{field}.{name}") }, reason);
        }
    }
    let reason = cut(&reason(&field, said), LONGEST_SAID);
    Problem::field(field, reason)
}

fn reason(field: &str, said: &str) -> String {
    if field.split('.').next_back() == Some("secret") {
        return "give the secret as a string".to_owned();
    }
    match said.rsplit_once(", expected ") {
        Some((met, expected)) if met.starts_with("invalid ") => {
            format!("is not as it has to be: expected {}", in_json(expected))
        }
        _ => said.to_owned(),
    }
}

/// What was expected, in words of JSON where serde has those of Rust.
fn in_json(expected: &str) -> &str {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "isize" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "f32" | "f64" => "a number",
        "a map" => "an object",
        "a sequence" => "a list",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
    }
}

#[cfg(test)]
mod tests {
    use super::{in_json, of_no_object};

    #[test]
    fn what_is_expected_is_told_in_words_of_json() {
        for (rust, json) in [
            ("i64", "a whole number"),
            ("f64", "a number"),
            ("struct RotateCredential", "an object"),
            ("struct Reason with 1 element", "an object"),
            ("a sequence", "a list"),
            ("a boolean", "a boolean"),
        ] {
            assert_eq!(in_json(rust), json);
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_told_the_fields_and_one_that_is_no_json_what_is_wrong_with_it() {
        for (body, said) in [
            ("null", "expected an object with reason, position"),
            ("[\"x\"]", "expected an object with reason, position"),
            (" 7 ", "expected an object with reason, position"),
            ("[1", "ends too early"),
            ("", "ends too early"),
            ("reason=x", "is no JSON"),
        ] {
            let problem = of_no_object(body.as_bytes(), &["reason", "position"]);
            assert_eq!(problem.field.as_deref(), Some("body"));
            assert!(problem.detail.contains(said), "{body}: {}", problem.detail);
        }
    }
}
