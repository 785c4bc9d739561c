//! Query strings and forms, read leniently: a parameter that is unknown or unreadable is ignored, never refused
//! (documented: unknown query parameters are ignored silently and return the unfiltered set).

use std::borrow::Cow;

/// The last value given for `name`.
pub fn value<'a>(text: &'a str, name: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(text.as_bytes()).filter(|(key, _)| key == name).last().map(|(_, value)| value)
}

pub fn number(text: &str, name: &str) -> Option<u64> {
    value(text, name)?.parse().ok()
}

/// `includeResources=1`; anything else means 0, the default since 2023-10-02.
pub fn include_resources(text: &str) -> bool {
    value(text, "includeResources").is_some_and(|value| value == "1" || value == "true")
}

/// The query as it may be recorded: a token in it (the revocation route) is a full credential and is masked.
pub fn masked(text: &str) -> String {
    if value(text, "token").is_none() {
        return text.to_owned();
    }
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(text.as_bytes()) {
        out.append_pair(&key, if key == "token" { "***" } else { &value });
    }
    out.finish()
}
