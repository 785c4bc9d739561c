//! Texts from outside, made fit to be kept: short, and without the one character that Postgres cannot store.

/// Up to `longest` characters, and a mark where there were more. U+0000 is left out: jsonb refuses it.
pub fn cut(text: &str, longest: usize) -> String {
    let mut characters = text.chars().filter(|character| *character != '\0');
    let mut kept: String = characters.by_ref().take(longest).collect();
    if characters.next().is_some() {
        kept.push('…');
    }
    kept
}

/// The trace that a `traceparent` names.
pub fn trace_id(traceparent: Option<&str>) -> Option<&str> {
    traceparent.and_then(|text| text.split('-').nth(1))
}

/// A W3C `traceparent` of version 00, if this is one: a header that anyone may set, and that every event carries on.
pub fn traceparent(text: &str) -> Option<&str> {
    let mut fields = text.split('-');
    let mut hex = |length: usize| {
        let field = fields.next().filter(|field| field.len() == length)?;
        let lower = field.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        lower.then_some(field)
    };
    let zero = |field: &str| field.bytes().all(|byte| byte == b'0');
    let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    (version == "00" && !zero(trace) && !zero(parent) && fields.next().is_none()).then_some(text)
}
