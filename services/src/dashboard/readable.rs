//! A JSON document as people read it: names with their values, rows as tables.

use adapters::masking::{MASK, is_private, masked};
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::pieces::words;

/// Rows of a table that are shown: a unit has no more nights than that, and each may have a price of its own.
const MOST_ROWS: usize = 1_096;

/// All of it. `of` is what it is, and sets its tables apart from others of a page for those who hear it.
pub(super) fn readable(document: &Value, of: &str) -> Markup {
    match document {
        Value::Object(fields) => object(fields, of),
        Value::Array(rows) => list(of, "rows", rows),
        other => html! { p { (inline(other)) } },
    }
}

/// What has one value first, then what has parts of its own.
fn object(fields: &Map<String, Value>, of: &str) -> Markup {
    let (parts, single): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, value)| has_parts(value));
    html! {
        @if !single.is_empty() { dl.facts { @for (name, value) in single {
            @let value = named(name, value);
            div.whole[value.len() > 60] { dt { (words(name)) } dd { (value) } }
        } } }
        @for (name, value) in parts { div.part {
            h3 { (words(name)) }
            @match value {
                Value::Object(fields) => (object(fields, of)),
                Value::Array(rows) => (list(of, &words(name), rows)),
                other => p { (inline(other)) },
            }
        } }
    }
}

fn has_parts(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(rows) => rows.iter().any(|row| row.is_object() || row.is_array()),
        _ => false,
    }
}

fn list(of: &str, name: &str, rows: &[Value]) -> Markup {
    let mut columns: Vec<&String> = Vec::new();
    for column in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label=(format!("{of}: {name}")) { table {
            thead { tr { @for column in &columns { th { (words(column)) } } } }
            tbody { @for row in rows.iter().take(MOST_ROWS) { tr {
                @for column in &columns { td { @if let Some(value) = row.get(column) { (named(column, value)) } } }
            } } }
        } }
        @if rows.len() > MOST_ROWS { p.quiet { "and " (rows.len() - MOST_ROWS) " more" } }
    }
}

/// What belongs to nobody who looks: a unit may have fields that the contract does not know.
fn named(name: &str, value: &Value) -> String {
    if is_private(name, value) { MASK.to_owned() } else { inline(value) }
}

/// In one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => masked(text),
        Value::Number(number) => number.to_string(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(inline).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let pair = |(name, value): (&String, &Value)| format!("{}: {}", words(name), named(name, value));
            fields.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_names_and_rows_are_tables() {
        let shown = readable(
            &json!({ "unit_id": "villa-1", "pets": false,
            "calendar": [{ "from": "2030-01-01", "price": 12 }, { "from": "2030-02-01", "closed": true }] }),
            "unit",
        );
        assert!(shown.0.contains("<dt>unit id</dt><dd>villa-1</dd>"), "{}", shown.0);
        assert!(shown.0.contains("<dd>no</dd>") && shown.0.contains("aria-label=\"unit: calendar\""), "{}", shown.0);
        assert!(shown.0.contains("<th>from</th><th>price</th><th>closed</th>"));
        assert!(shown.0.contains("<td>2030-02-01</td><td></td><td>yes</td>"));
    }

    #[test]
    fn secrets_and_guests_are_not_shown() {
        let shown = readable(
            &json!({ "api_key": "sk_1", "guests": 4, "note": "ask jane@example.com",
            "stays": [{ "guest": { "name": "Jane" }, "from": "2030-01-01" }] }),
            "unit",
        );
        for gone in ["sk_1", "jane@example.com", "Jane"] {
            assert!(!shown.0.contains(gone), "{}", shown.0);
        }
        assert!(shown.0.contains("<dd>4</dd>") && shown.0.contains("2030-01-01"), "{}", shown.0);
    }
}
