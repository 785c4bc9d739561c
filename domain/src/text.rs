//! Texts from outside, made fit to be kept: short, and without the one character that Postgres cannot store; and what people
//! may type in one line.

use std::borrow::Cow;
use std::ops::RangeInclusive;

/// What [`is_unseen`] says, inside of a class of a regular expression, up to U+FFFF: languages have no common way to write what is beyond,
/// and some refuse the whole expression.
macro_rules! unseen {
    () => {
        concat!(
            r"\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f",
            r"\u2028-\u202e\u2060-\u206f\u2800\u3164\ue000-\uf8ff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
        )
    };
}
pub(crate) use unseen;

/// Whether a string of a JSON text holds U+0000, of which PostgreSQL makes no text: only its escape can, and an escaped backslash before
/// `u0000` is text.
pub fn json_holds_nul(json: &[u8]) -> bool {
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'\\' {
            let escape = bytes.as_slice();
            if escape.starts_with(b"u0000") {
                return true;
            }
            bytes.next();
        }
    }
    false
}

/// Up to `longest` characters, and a mark where there were more. U+0000 is left out: no text of PostgreSQL holds it.
pub fn cut(text: &str, longest: usize) -> String {
    let mut characters = text.chars().filter(|character| *character != '\0');
    let mut kept: String = characters.by_ref().take(longest).collect();
    if characters.next().is_some() {
        kept.push('…');
    }
    kept
}

/// The most characters of a text that is told word for word as something wrong.
const LONGEST_QUOTED: usize = 80;

/// A text that is wrong, as it is told: itself in quotes, or how long it is. Nothing of it is cut off: half a secret is not known again.
pub fn quoted(text: &str) -> String {
    match text.chars().count() {
        long if long > LONGEST_QUOTED => format!("a text of {long} characters"),
        _ => format!("{text:?}"),
    }
}

/// What nobody sees and what changes how the rest is read: controls of a terminal, of the direction and the layout of text, and
/// what Unicode has displays ignore; a blank that is no white space (U+2800); and what means nothing outside of one font, or nothing at all.
/// Those that scripts and emoji need in a word are not among it.
const UNSEEN: [RangeInclusive<char>; 21] = [
    '\0'..='\u{1f}',
    '\u{7f}'..='\u{9f}',
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200b}',
    '\u{200e}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{e000}'..='\u{f8ff}',
    '\u{fdd0}'..='\u{fdef}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{e0000}'..='\u{e007f}',
    '\u{f0000}'..='\u{10ffff}',
];
/// What only shows together with others: what joins and parts letters, and what chooses their form.
const BESIDE: [RangeInclusive<char>; 2] = ['\u{200c}'..='\u{200d}', '\u{fe00}'..='\u{fe0f}'];

/// Whether nobody sees it. The last two of each plane are no characters.
pub(crate) fn is_unseen(character: char) -> bool {
    let ends_plane = u32::from(character) & 0xfffe == 0xfffe;
    ends_plane || UNSEEN.iter().any(|range| range.contains(&character))
}

/// Without what nobody sees, or what moves a terminal's cursor or turns the direction in which text is read. Ends of lines and
/// tabs stay, the other blanks among it become spaces.
pub fn steady(text: &str) -> String {
    let seen = text.chars().filter(|c| c.is_whitespace() || !is_unseen(*c));
    seen.map(|c| if is_unseen(c) && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect()
}

/// The most characters of a reason, and of who gives it.
pub const LONGEST_LINE: usize = 500;

/// What one line of people's words looks like, as a regular expression: something in it can be seen, and it has nothing that
/// cannot. What cannot be seen beyond U+FFFF is refused beside it.
pub const LINE_PATTERN: &str =
    concat!(r"^[^", unseen!(), r"]*[^\s\u200c\u200d\ufe00-\ufe0f", unseen!(), r"][^", unseen!(), r"]*$");

/// Why a text is no line of people's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLine {
    /// Nothing in it can be seen, it is too long, or it is several lines.
    #[error("give one line of 1 to {longest} characters")]
    Form {
        /// The most characters.
        longest: usize,
    },
    /// It has something that nobody sees.
    #[error("the character U+{:04X} cannot be seen; leave it out", u32::from(*.0))]
    Unseen(char),
}

/// One line of people's words, without the blanks around it: a reason, a name, or who gives it.
pub fn line(text: &str, longest: usize) -> Result<&str, NoLine> {
    let text = text.trim();
    if let Some(unseen) = text.chars().find(|c| is_unseen(*c) && !c.is_whitespace()) {
        return Err(NoLine::Unseen(unseen));
    }
    let is_seen = |c: char| !c.is_whitespace() && !BESIDE.iter().any(|range| range.contains(&c));
    let is_one = !text.chars().any(is_unseen) && text.chars().any(is_seen);
    if is_one && text.chars().count() <= longest { Ok(text) } else { Err(NoLine::Form { longest }) }
}

/// The trace that a `traceparent` names.
pub fn trace_id(traceparent: Option<&str>) -> Option<&str> {
    traceparent.and_then(|text| text.split('-').nth(1))
}

/// What a W3C `traceparent` of version 00 looks like, as a regular expression.
pub const TRACEPARENT_PATTERN: &str = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$";

/// The most characters of a `traceparent` that is taken: a later version may say more than is known here.
pub const LONGEST_TRACEPARENT: usize = 512;

/// What is taken as a `traceparent`, as a regular expression: of version 00, or of a later one, which begins with the same fields.
pub const TAKEN_TRACEPARENT_PATTERN: &str = concat!(
    "^(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
    "|(0[1-9a-f]|[1-9a-e][0-9a-f]|f[0-9a-e])-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]*)?)$"
);

/// The length of a `traceparent` of version 00, and of the fields of a later one that are known.
const KNOWN: usize = 55;

/// A header that anyone may set as a W3C `traceparent` of version 00, which every event carries on, if it is one. Of a later version
/// the same fields are taken, and of its flags the one that is known, as the standard has it (Trace Context, 3.2.4).
pub fn traceparent(text: &str) -> Option<Cow<'_, str>> {
    let (known, more) = text.split_at_checked(KNOWN).filter(|_| text.len() <= LONGEST_TRACEPARENT)?;
    let mut fields = known.split('-');
    let mut hex = |length: usize| {
        let field = fields.next().filter(|field| field.len() == length)?;
        let lower = field.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        lower.then_some(field)
    };
    let zero = |field: &str| field.bytes().all(|byte| byte == b'0');
    let (version, trace, parent, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    if zero(trace) || zero(parent) {
        return None;
    }
    match version {
        "00" => more.is_empty().then_some(Cow::Borrowed(text)),
        "ff" => None,
        _ if more.is_empty() || more.starts_with('-') => {
            let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
            Some(Cow::Owned(format!("00-{trace}-{parent}-{sampled:02x}")))
        }
        _ => None,
    }
}
