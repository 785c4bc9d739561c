//! Values of flags that several commands take, checked when they are parsed.

use domain::secret::SecretRef;
use domain::text::{LONGEST_LINE, line};
use domain::window::RateLimit;

use super::failure::Failure;
use crate::config::ChannelReach;

fn words(text: &str) -> Result<String, String> {
    line(text, LONGEST_LINE).map(str::to_owned).map_err(|wrong| wrong.to_string())
}

/// Why something is done; it stands in the journal.
pub(super) fn reason(text: &str) -> Result<String, String> {
    words(text)
}

/// Who does it.
pub(super) fn person(text: &str) -> Result<String, String> {
    words(text)
}

/// The user of the system, by name or, where the environment has none, by number.
pub(super) fn user() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| person(&std::env::var(name).ok()?).ok());
    named.unwrap_or_else(|| format!("uid:{}", rustix::process::getuid().as_raw()))
}

/// A limit, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LimitOrNone(pub(super) Option<RateLimit>);

impl std::str::FromStr for LimitOrNone {
    type Err = domain::window::InvalidLimit;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|limit| Self(Some(limit))) }
    }
}

/// A reference to a secret. It is not parsed by clap, whose error would show the secret that somebody gave instead.
pub(super) fn secret_ref(text: &str) -> Result<SecretRef, Failure> {
    text.parse().map_err(|error: domain::secret::InvalidSecretRef| Failure::Usage {
        field: "secret_ref",
        reason: error.to_string(),
    })
}

/// Refuses a base URL that `serve` would not call. Where `serve` runs with another setting, its own holds for the call.
pub(super) async fn may_call(reach: ChannelReach, base_url: &str) -> Result<(), Failure> {
    let refused = reach.destinations().check(base_url).await;
    refused.map_err(|forbidden| Failure::Usage { field: "base_url", reason: forbidden.to_string() })
}
