//! What serde says of an input that cannot be read, told of the field that it is about, and without the value that it met:
//! that may be a secret in the wrong place.
//!
//! That a field is missing or given twice, and that a value is of another kind, is known by serde's own words alone: its errors keep
//! no kind, neither does that of `serde_json` (whose category tells syntax from data), and a deserializer with errors of
//! our own would be more than this. Whatever else is wrong, the field says itself ([`super::read`]).

use domain::text::cut;
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
        Some((met, expected)) if met.starts_with("invalid ") => format!("is not as it has to be: expected {expected}"),
        _ => said.to_owned(),
    }
}
