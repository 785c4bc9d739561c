//! Who did something, as every door names it.

use std::collections::HashMap;

/// The actor of an event, on whose behalf it acted where that is another, and what published the unit change that led to it.
pub fn by(metadata: &HashMap<String, String>) -> String {
    let get = |name: &str| metadata.get(name).map(String::as_str);
    let actor = get("actor").unwrap_or_default();
    let source = get("source").map(|source| format!(", unit change from {source}")).unwrap_or_default();
    format!("{actor}{}{source}", on_behalf_of(actor, get("on_behalf_of")))
}

/// To stand behind the actor: nothing where it acts for itself.
pub fn on_behalf_of(actor: &str, other: Option<&str>) -> String {
    other.filter(|other| *other != actor).map(|other| format!(" on behalf of {other}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_on_whose_behalf_it_was_is_named_beside_the_actor() {
        let of = |pairs: &[(&str, &str)]| {
            by(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(of(&[("actor", "ops@example.org")]), "ops@example.org");
        assert_eq!(of(&[("actor", "ops@example.org"), ("on_behalf_of", "ops@example.org")]), "ops@example.org");
        let both = of(&[("actor", "service:dispatcher"), ("on_behalf_of", "ops@example.org")]);
        assert_eq!(both, "service:dispatcher on behalf of ops@example.org");
        let source = of(&[("actor", "service:intake"), ("source", "urn:sunstay:bookings")]);
        assert_eq!(source, "service:intake, unit change from urn:sunstay:bookings");
        assert_eq!(of(&[]), "");
    }
}
