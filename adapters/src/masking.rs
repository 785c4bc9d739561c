//! Channels answer in words, and nobody knows what is in them: what looks like a credential or like the address of a person
//! is taken out before it is kept, logged or shown.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

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

#[cfg(test)]
mod tests {
    use super::{RULES, masked};

    #[test]
    fn every_rule_is_one() {
        assert_eq!(RULES.len(), 5);
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
}
