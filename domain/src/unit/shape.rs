//! Every place where a body's shape breaks, by the contract's own schema. Reading stops at the first; whoever sent the
//! message sees them all.

use std::sync::LazyLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use super::problem::{InvalidUnit, Problem};
use crate::text::quoted;

/// As many findings of one message are told at the most.
const MOST: usize = 100;

static CONTRACT: LazyLock<Validator> = LazyLock::new(|| {
    let schema = include_str!("../../../nats/schemas/unit-changed.v1.json");
    let schema = serde_json::from_str(schema).expect("the schema of the contract is JSON");
    jsonschema::validator_for(&schema).expect("the schema of the contract is a schema")
});

/// What broke the reading, and whatever else the schema finds.
pub(super) fn all_findings(body: &Value, mut first: InvalidUnit) -> InvalidUnit {
    for error in CONTRACT.iter_errors(body).take(MOST) {
        let found = finding(&error);
        if first.problems.iter().all(|problem| problem.field != found.field) {
            first.problems.push(found);
        }
    }
    first
}

fn finding(error: &ValidationError<'_>) -> Problem {
    let mut field = field(error.instance_path().as_str());
    let reason = match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            field = if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
            "is missing; the contract requires it".to_owned()
        }
        ValidationErrorKind::PropertyNames { error } => {
            format!("{} is no name of anything in it", quoted(error.instance().as_str().unwrap_or_default()))
        }
        _ => {
            let shown = shown(error.instance());
            error.masked_with(shown).to_string().replace('"', "").chars().take(300).collect()
        }
    };
    Problem { field: if field.is_empty() { "body".to_owned() } else { field }, reason }
}

/// A number as it is; what a text says, or is in an object or a list, is not told: it may be long, and about somebody.
fn shown(value: &Value) -> String {
    match value {
        Value::String(_) => "the text".to_owned(),
        Value::Array(_) => "the list".to_owned(),
        Value::Object(_) => "the object".to_owned(),
        plain => plain.to_string(),
    }
}

/// `/unit/calendar/1/available` as `unit.calendar[1].available`.
fn field(pointer: &str) -> String {
    let mut field = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            field.push_str(&format!("[{part}]"));
        } else {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    field
}
