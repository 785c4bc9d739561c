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

/// Without what moves a terminal's cursor or turns the direction in which text is read. Ends of lines and tabs stay, the other
/// blanks among the control characters become spaces.
pub fn steady(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let seen = text.chars().filter(|c| !turns(*c) && (!c.is_control() || c.is_whitespace()));
    seen.map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect()
}

/// The most characters of a reason, and of who gives it.
pub const LONGEST_LINE: usize = 500;

/// What one line of people's words looks like, as a regular expression: something in it can be seen, and nothing in it moves a
/// terminal's cursor.
pub const LINE_PATTERN: &str =
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";

/// One line of people's words, without the blanks around it, if this is one: a reason, or a name.
pub fn line(text: &str) -> Option<&str> {
    let text = text.trim();
    let fits = (1..=LONGEST_LINE).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then_some(text)
}

/// The trace that a `traceparent` names.
pub fn trace_id(traceparent: Option<&str>) -> Option<&str> {
    traceparent.and_then(|text| text.split('-').nth(1))
}

/// What a W3C `traceparent` of version 00 looks like, as a regular expression.
pub const TRACEPARENT_PATTERN: &str = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$";

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
