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

/// The patterns of the contract, in words: a regular expression tells few people what is right.
const PATTERNS: [(&str, &str); 7] = [
    (r"\S", "is blank; give a text with at least one character that is no blank"),
    ("^[A-Za-z0-9_-]{1,64}$", "is no identifier: use 1 to 64 of the characters A-Z a-z 0-9 _ -"),
    ("^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", "is no language tag: give one such as en, de-AT or zh-Hant"),
    ("^2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$", "is no day: give one such as 2026-11-28"),
    ("^([01][0-9]|2[0-3]):[0-5][0-9]$", "is no time of day: give one such as 15:00"),
    ("^[A-Z]{2}$", "is no code of a country: give its two capital letters, such as AT"),
    ("^[A-Z]{3}$", "is no code of a currency: give its three capital letters, such as EUR"),
];

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
        ValidationErrorKind::Pattern { pattern } => wanted(pattern),
        _ => {
            let shown = shown(error.instance());
            error.masked_with(shown).to_string().replace('"', "").chars().take(300).collect()
        }
    };
    Problem { field: if field.is_empty() { "body".to_owned() } else { field }, reason }
}

/// What a text has to look like that does not match a pattern of the contract.
fn wanted(pattern: &str) -> String {
    let told = PATTERNS.iter().find(|(known, _)| *known == pattern).map(|(_, told)| (*told).to_owned());
    told.unwrap_or_else(|| format!("has another form than the contract's: {pattern}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("pattern").and_then(Value::as_str));
                fields.values().for_each(|value| patterns(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| patterns(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_pattern_of_the_contract_is_told_in_words() {
        let contract = include_str!("../../../nats/schemas/unit-changed.v1.json");
        let contract: Value = serde_json::from_str(contract).expect("the schema of the contract is JSON");
        let mut found = Vec::new();
        patterns(&contract, &mut found);
        assert!(found.len() >= PATTERNS.len(), "{found:?}");
        for pattern in found {
            assert!(!wanted(pattern).contains(pattern), "{pattern}");
        }
    }
}
