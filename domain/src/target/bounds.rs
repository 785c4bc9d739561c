//! What the texts of a target may be. The numbers and patterns are told to callers, too.

use url::Url;

use crate::target::TargetError;
use crate::text::{is_unseen, line, unseen};

/// The most characters of a name.
pub const LONGEST_NAME: usize = 120;
/// The most characters of a base URL.
pub const LONGEST_BASE_URL: usize = 2_048;
/// A part of a host's name.
macro_rules! label {
    () => {
        concat!(r"[^./@?#%\\:\[\]\s", unseen!(), r"]+")
    };
}

/// What a base URL looks like, as a regular expression. No part of its path is `.` or `..`, which is told without looking ahead: not every
/// language can.
pub const BASE_URL_PATTERN: &str = concat!(
    r"^[Hh][Tt][Tt][Pp][Ss]?://(?:\[[0-9A-Fa-f:.]+\]|",
    label!(),
    r"(?:\.",
    label!(),
    r")*)(?::[0-9]*)?",
    r"(?:/(?:\.?[A-Za-z0-9_~!$&'()*+,;=:|\[\]-][A-Za-z0-9_.~!$&'()*+,;=:|\[\]-]*|\.\.[A-Za-z0-9_.~!$&'()*+,;=:|\[\]-]+))*/?$"
);
/// The most digits of an account's id at a channel.
pub const LONGEST_CHANNEL_ACCOUNT: usize = 64;
/// What an account's id at a channel looks like, as a regular expression.
pub const CHANNEL_ACCOUNT_PATTERN: &str = "^[0-9]+$";

fn field(field: &'static str, reason: impl Into<String>) -> TargetError {
    TargetError::Field { field, reason: reason.into() }
}

/// The name without the blanks around it.
pub(super) fn checked_name(name: &str) -> Result<String, TargetError> {
    line(name, LONGEST_NAME).map(str::to_owned).map_err(|wrong| field("name", wrong.to_string()))
}

/// What is right.
const ROOT: &str = "give https://host[:port]/path";

/// The root as it is kept. Windows go by the text, so what leads to one place is one text; and as that is ASCII, it is as long as it
/// looks, which the tables have room for.
pub fn checked_root(url: &str) -> Result<String, TargetError> {
    check_base_url(url)?;
    let parsed = Url::parse(url).map_err(|error| field("base_url", format!("{error}; {ROOT}")))?;
    let host = parsed.host_str().unwrap_or_default();
    if host.ends_with('.') {
        return Err(field("base_url", "the host is written without a dot at its end"));
    }
    // Letters beyond ASCII may stand for a dot.
    if host.split('.').any(str::is_empty) {
        return Err(field("base_url", "the parts of the host's name have one dot between them, and none before them"));
    }
    let root = String::from(parsed);
    check_base_url(&root)?;
    Ok(root.trim_end_matches('/').to_owned())
}

/// Whether two roots lead to one host. A target's secret was given for the host of its address, and what a channel said of it is the
/// word of that host.
pub fn is_same_host(one: &str, other: &str) -> bool {
    let host = |url: &str| {
        let url = Url::parse(url).ok()?;
        // Older targets may have a dot at its end.
        let name = url.host_str()?.trim_end_matches('.').to_owned();
        Some((url.scheme().to_owned(), name, url.port_or_known_default()))
    };
    host(one) == host(other)
}

fn check_base_url(url: &str) -> Result<(), TargetError> {
    if url.chars().count() > LONGEST_BASE_URL {
        return Err(field("base_url", format!("has at most {LONGEST_BASE_URL} characters")));
    }
    let scheme_and_rest = url.split_once("://");
    let is_of_http = |scheme: &str| ["https", "http"].iter().any(|http| http.eq_ignore_ascii_case(scheme));
    // It is not repeated: a password may stand in it, or what a query says.
    match scheme_and_rest.filter(|(scheme, _)| is_of_http(scheme)).map(|(_, rest)| rest) {
        Some(rest) if rest.contains('@') => {
            Err(field("base_url", format!("the root of an API has no user and no password in it; {ROOT}")))
        }
        Some(rest) if rest.contains('%') => {
            let reason = "the root of an API has no % in it, nor what is written with one in a path, as letters beyond ASCII are";
            Err(field("base_url", reason))
        }
        Some(rest) if !rest.starts_with('/') && rest.contains("//") => {
            Err(field("base_url", "the parts of a path have one / between them"))
        }
        Some(rest) if rest.split('/').skip(1).any(|part| matches!(part, "." | "..")) => {
            Err(field("base_url", "no part of a path is . or ..: give the path that they lead to"))
        }
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && !rest.contains(is_foreign) => Ok(()),
        _ => Err(field("base_url", format!("is not the root of an API; {ROOT}"))),
    }
}

/// What stands in no root of an API: a user, a query, a fragment, and what one program reads so and another otherwise.
fn is_foreign(character: char) -> bool {
    matches!(character, '@' | '?' | '#' | '\\') || character.is_whitespace() || is_unseen(character)
}

/// The account as it is kept: a number, so that zeros in front of it make no other one.
pub(super) fn checked_account(account: &str) -> Result<String, TargetError> {
    let fits = (1..=LONGEST_CHANNEL_ACCOUNT).contains(&account.len()) && account.bytes().all(|b| b.is_ascii_digit());
    let reason = "give the account's id at Hostaway, a number such as 10450";
    let number = account.trim_start_matches('0');
    let number = if number.is_empty() { "0" } else { number };
    if fits { Ok(number.to_owned()) } else { Err(field("channel_account", reason)) }
}
