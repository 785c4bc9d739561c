//! Channels answer in words, and nobody knows what is in them: what looks like a credential or like the address of a person,
//! and the fields of JSON that are named like a secret or like a guest's, are taken out before they are kept, logged or shown.
//! A name in a sentence cannot be told from other words, and stays.

mod problems;

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

pub use problems::MaskedProblems;

/// What stands in its place.
pub const MASK: &str = "•••";

/// What is taken out, and what stays of it.
static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        // Names of secrets with their values: in JSON, in a form, in a sentence.
        (
            r#"(?i)\b(client_secret|secret|password|passwd|token|access_token|api[_-]?key)(["']?\s*[:=]\s*["']?)[^\s"',;&}]+"#,
            "$1$2•••",
        ),
        // Fields of JSON that belong to a guest, also where the rest of it is cut off: a value, or all that is in them.
        (
            r#"(?i)(["'](?:guests?_?(?:first|last|full)?_?name|guest_?(?:e?mail|phone|address|city|zip_?code)|(?:first|last|full|sur)_?name|e_?mail|e_?mail_?address|(?:mobile_?)?phone|phone_?number|passport\w*)["']\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|[^\s"',;&}\]]+)"#,
            "$1\"•••\"",
        ),
        (r#"(?i)(["']guests?\w*["']\s*:\s*)(?:[\[{][^\]}]*[\]}]?|"(?:[^"\\]|\\.)*"?)"#, "$1\"•••\""),
        (r"(?i)\b(bearer|basic)\s+[\w.+/=~-]{6,}", "$1 •••"),
        (r"\beyJ[\w-]+\.[\w-]+(\.[\w-]*)?", "•••"),
        (r"[\w.%+-]+@[\w-]+(\.[\w-]+)+", "•••"),
        (r"\+\d[\d ()./-]{6,}\d", "•••"),
    ];
    rules.into_iter().filter_map(|(rule, kept)| Some((Regex::new(rule).ok()?, kept))).collect()
});

/// The text without what looks like a credential, an e-mail address or a telephone number.
pub fn masked(text: &str) -> String {
    let mut masked = Cow::Borrowed(text);
    for (rule, kept) in RULES.iter() {
        if let Cow::Owned(changed) = rule.replace_all(&masked, *kept) {
            masked = Cow::Owned(changed);
        }
    }
    masked.into_owned()
}

/// Whether a field of this name is of nobody who looks: a secret, or something of a guest's. How many guests there are is
/// a number, and is told.
pub fn is_private(name: &str, value: &Value) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let has = |parts: &[&str]| parts.iter().any(|part| plain.contains(part));
    let secret = has(&["secret", "password", "passwd", "token", "apikey", "authorization"]);
    let person = has(&["firstname", "lastname", "fullname", "surname", "email", "phone", "passport"]);
    let guest = plain.contains("guest") && (value.is_object() || value.is_array() || value.is_string());
    secret || person && !value.is_boolean() || guest
}

/// A document of JSON without what is private, and its texts as [`masked`] leaves them.
pub fn masked_document(document: &Value) -> Value {
    match document {
        Value::String(text) => Value::String(masked(text)),
        Value::Array(rows) => rows.iter().map(masked_document).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let hidden = !value.is_null() && is_private(name, value);
                (name.clone(), if hidden { Value::from(MASK) } else { masked_document(value) })
            };
            Value::Object(fields.iter().map(field).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{RULES, masked, masked_document};

    #[test]
    fn every_rule_is_one() {
        assert_eq!(RULES.len(), 7);
    }

    #[test]
    fn credentials_and_addresses_of_people_go_and_dates_and_ids_stay() {
        let said = "Night 2026-12-20 of listing 40001 is held by jane.doe@example.com, +62 812 3456 7890; \
                    client_secret=s3cret {\"api_key\": \"sk_live_1\"} Authorization: Bearer abcdef123456";
        let told = masked(said);
        for gone in ["jane.doe", "812 3456", "s3cret", "sk_live_1", "abcdef123456"] {
            assert!(!told.contains(gone), "{told}");
        }
        for stays in ["2026-12-20", "40001", "client_secret=", "is held by"] {
            assert!(told.contains(stays), "{told}");
        }
        let plain = "the price must be 1 or more; startDate 2030-01-01 is taken";
        assert_eq!(masked(plain), plain);
    }

    #[test]
    fn fields_of_guests_go_from_json_however_much_of_it_is_there() {
        let stay = json!({ "status": "fail", "result": { "guestName": "Jane Doe", "guests": 4, "id": 7,
            "firstName": "Jane", "phone": 62_812_345, "note": "call jane@example.com",
            "guest": { "name": "Jane", "pets": ["Rex"] }, "access_token": "abc", "surname": null } });
        let told = masked_document(&stay);
        assert_eq!(
            told["result"],
            json!({ "guestName": "•••", "guests": 4, "id": 7, "firstName": "•••", "phone": "•••",
                "note": "call •••", "guest": "•••", "access_token": "•••", "surname": null })
        );
        // As a text, whole and cut off in the middle of a value.
        let text = stay.to_string();
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let told = masked(&text[..end]);
            for gone in ["Doe", "Jane", "Rex", "6281"] {
                assert!(!told.contains(gone), "{told}");
            }
        }
        assert_eq!(masked(r#"{ "guests": "guest Annabel", "id": 7 }"#), r#"{ "guests": "•••", "id": 7 }"#);
        let told = masked(&text);
        assert!(told.contains(r#""guests":4"#) && told.contains(r#""id":7"#), "{told}");
        assert_eq!(masked("a name: Jane, in a sentence"), "a name: Jane, in a sentence");
    }
}
