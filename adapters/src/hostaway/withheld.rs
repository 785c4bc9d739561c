//! The secret and the tokens of a session: a channel may say them back in an answer, and no pattern knows what they look like.

use std::sync::OnceLock;

use domain::text::steady;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::masking::MASK;

/// A shorter value would take parts out of common words.
const SHORTEST_CHARS: usize = 4;

/// Values that no word of a channel's may show, as they are and as JSON and URLs write them.
#[derive(Default)]
pub(super) struct Withheld {
    values: Vec<Zeroizing<String>>,
    /// What each value may look like, made where a channel's words are kept: most calls need none of it.
    forms: OnceLock<Vec<Zeroizing<String>>>,
}

impl Withheld {
    /// Withholds a value from now on.
    pub fn add(&mut self, value: &str) {
        if value.chars().count() >= SHORTEST_CHARS && !self.values.iter().any(|known| known.as_str() == value) {
            self.values.push(Zeroizing::new(value.to_owned()));
            self.forms.take();
        }
    }

    /// The text with a mask wherever one of the values stands.
    pub fn hidden(&self, text: &str) -> String {
        let mut told = text.to_owned();
        for form in self.forms.get_or_init(|| all_forms(&self.values)) {
            if told.contains(form.as_str()) {
                told = told.replace(form.as_str(), MASK);
            }
        }
        told
    }

    /// The same, also where something that nobody sees stands in the middle of a value; other texts stay as they are.
    pub fn shown(&self, text: &str) -> String {
        let told = self.hidden(text);
        let seen = steady(&told);
        let again = self.hidden(&seen);
        if again == seen { told } else { again }
    }

    /// A document whose names and values are shown so, numbers too.
    pub fn shown_document(&self, document: Value) -> Value {
        match document {
            Value::String(text) => Value::String(self.shown(&text)),
            Value::Array(rows) => rows.into_iter().map(|row| self.shown_document(row)).collect(),
            Value::Object(fields) => {
                let field = |(name, value): (String, Value)| (self.shown(&name), self.shown_document(value));
                Value::Object(fields.into_iter().map(field).collect())
            }
            Value::Number(number) => {
                let digits = number.to_string();
                let told = self.hidden(&digits);
                if told == digits { Value::Number(number) } else { Value::String(told) }
            }
            other => other,
        }
    }
}

fn all_forms(values: &[Zeroizing<String>]) -> Vec<Zeroizing<String>> {
    let mut all: Vec<_> = values.iter().flat_map(|value| forms(value)).collect();
    all.retain(|form| form.chars().count() >= SHORTEST_CHARS);
    // A value may stand in another one: the longest goes first, or the rest of it would stay.
    all.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.as_str().cmp(other.as_str())));
    all.dedup();
    all
}

/// The value itself, without blanks around it, in JSON (some escape slashes), in a form and in a path.
fn forms(value: &str) -> [Zeroizing<String>; 6] {
    let quoted = Zeroizing::new(Value::from(value).to_string());
    let json = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    let form: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let (slashes, path) = (json.replace('/', r"\/"), form.replace('+', "%20"));
    [value.to_owned(), value.trim().to_owned(), json.to_owned(), slashes, path, form].map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_goes_in_every_form_and_short_ones_stay() {
        let mut withheld = Withheld::default();
        withheld.add("a/b \"c\"&é");
        withheld.add("hunter2");
        withheld.add("hunter2-and-more");
        withheld.add("abc");
        let said = r#"raw a/b "c"&é, json a/b \"c\"&é, php a\/b \"c\"&é, form a%2Fb+%22c%22%26%C3%A9, url a%2Fb%20%22c%22%26%C3%A9"#;
        assert_eq!(withheld.hidden(said), "raw •••, json •••, php •••, form •••, url •••");
        assert_eq!(withheld.hidden("hunter2, hunter2-and-more, abc"), "•••, •••, abc");
    }

    #[test]
    fn a_document_is_shown_without_values_in_texts_names_and_numbers() {
        let mut withheld = Withheld::default();
        withheld.add("hunter2");
        withheld.add("20300101");
        let there =
            json!({ "name": "a\r\nhun\u{200b}ter2", "hunter2": [20_300_101, 7, null], "kept": "a\r\nb\u{200b}" });
        let shown = json!({ "name": "a \n•••", "•••": ["•••", 7, null], "kept": "a\r\nb\u{200b}" });
        assert_eq!(withheld.shown_document(there), shown);
    }
}
