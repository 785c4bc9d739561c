//! The secret and the tokens of a session: a channel may say them back in an answer, and no pattern knows what they look like.

use std::cmp::Reverse;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::masking::MASK;

/// A shorter value would take parts out of common words.
const SHORTEST_CHARS: usize = 4;

/// Values that no word of a channel's may show, as they are and as JSON and URLs write them.
#[derive(Default)]
pub(super) struct Withheld(Vec<Zeroizing<String>>);

impl Withheld {
    /// Withholds a value from now on.
    pub fn add(&mut self, value: &str) {
        if value.chars().count() < SHORTEST_CHARS || self.0.iter().any(|known| known.as_str() == value) {
            return;
        }
        for form in forms(value) {
            if form.chars().count() >= SHORTEST_CHARS && !self.0.contains(&form) {
                self.0.push(form);
            }
        }
        // A value may stand in another one: the longest goes first, or the rest of it would stay.
        self.0.sort_by_key(|form| Reverse(form.len()));
    }

    /// The text with a mask wherever one of the values stands.
    pub fn hidden(&self, text: &str) -> String {
        let mut told = text.to_owned();
        for form in &self.0 {
            if told.contains(form.as_str()) {
                told = told.replace(form.as_str(), MASK);
            }
        }
        told
    }
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
}
