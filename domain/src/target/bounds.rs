//! What a target's settings may be, given as texts. The numbers and patterns are told to callers, too.

use crate::target::TargetError;
use crate::text::cut;

/// The most characters of a name.
pub const LONGEST_NAME: usize = 120;
/// The most characters of a base URL.
pub const LONGEST_BASE_URL: usize = 2_048;
/// What a base URL looks like, as a regular expression.
pub const BASE_URL_PATTERN: &str =
    r"^https?://[^/@?#\\\s\u0000-\u0020\u007f-\u009f][^@?#\\\s\u0000-\u0020\u007f-\u009f]*$";
/// The most digits of an account's id at a channel.
pub const LONGEST_CHANNEL_ACCOUNT: usize = 64;
/// What an account's id at a channel looks like, as a regular expression.
pub const CHANNEL_ACCOUNT_PATTERN: &str = "^[0-9]+$";

fn field(field: &'static str, reason: impl Into<String>) -> TargetError {
    TargetError::Field { field, reason: reason.into() }
}

pub(super) fn check_name(name: &str) -> Result<(), TargetError> {
    let fits = name.chars().count() <= LONGEST_NAME && !name.trim().is_empty() && !name.chars().any(char::is_control);
    let reason = || format!("give 1 to {LONGEST_NAME} characters, not blanks alone, and no control characters");
    if fits { Ok(()) } else { Err(field("name", reason())) }
}

pub(super) fn check_base_url(url: &str) -> Result<(), TargetError> {
    if url.chars().count() > LONGEST_BASE_URL {
        return Err(field("base_url", format!("has at most {LONGEST_BASE_URL} characters")));
    }
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && !rest.contains(is_foreign) => Ok(()),
        _ => {
            let shown = cut(url, 80);
            Err(field("base_url", format!("{shown:?} is not the root of an API; give https://host[:port]/path")))
        }
    }
}

/// What stands in no root of an API: a user, a query, a fragment, and what one program reads so and another otherwise.
fn is_foreign(character: char) -> bool {
    matches!(character, '@' | '?' | '#' | '\\') || character.is_whitespace() || character.is_control()
}

pub(super) fn check_account(account: &str) -> Result<(), TargetError> {
    let fits = (1..=LONGEST_CHANNEL_ACCOUNT).contains(&account.len()) && account.bytes().all(|b| b.is_ascii_digit());
    let reason = "give the account's id at Hostaway, a number such as 10450";
    if fits { Ok(()) } else { Err(field("channel_account", reason)) }
}
