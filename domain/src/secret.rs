//! A reference to a secret, and what its value may be. The value never enters an event, a row or a message.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::{is_unseen, unseen};

/// Who keeps a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretKeeper {
    /// `store:NAME`, the service's own encrypted store.
    Store,
    /// `aws:NAME`, AWS Secrets Manager.
    Aws,
    /// `file:NAME` in the service's secrets folder. Only read.
    File,
    /// `env:NAME` in the environment of the service. Only read.
    Env,
}

/// Where a secret is kept: `store:NAME`, `aws:NAME`, `file:NAME` or `env:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef(String);

/// A text that refers to no secret. It is not shown: it may be the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret reference is store:NAME, aws:NAME, file:NAME or env:NAME, NAME of A-Z a-z 0-9 _ . - and for aws / + = @ \
     too (not the secret itself)"
)]
pub struct InvalidSecretRef;

impl SecretRef {
    /// The reference as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Who keeps it.
    pub fn keeper(&self) -> SecretKeeper {
        // Every reference was parsed.
        parts(&self.0).map_or(SecretKeeper::Env, |(keeper, _)| keeper)
    }

    /// Its name there.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, name)| name)
    }
}

fn parts(text: &str) -> Option<(SecretKeeper, &str)> {
    let (scheme, name) = text.split_once(':')?;
    let keeper = match scheme {
        "store" => SecretKeeper::Store,
        "aws" => SecretKeeper::Aws,
        "file" => SecretKeeper::File,
        "env" => SecretKeeper::Env,
        _ => return None,
    };
    let further: &[u8] = if keeper == SecretKeeper::Aws { b"_.-/+=@" } else { b"_.-" };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || further.contains(&b));
    // A leading dot or slash would leave the folder of the files, or its plain part.
    let fits = (1..=128).contains(&name.len()) && plain && !name.starts_with(['.', '/']);
    fits.then_some((keeper, name))
}

impl FromStr for SecretRef {
    type Err = InvalidSecretRef;
    fn from_str(text: &str) -> Result<Self, InvalidSecretRef> {
        parts(text).map(|_| Self(text.to_owned())).ok_or(InvalidSecretRef)
    }
}

impl TryFrom<String> for SecretRef {
    type Error = InvalidSecretRef;
    fn try_from(text: String) -> Result<Self, InvalidSecretRef> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(secret: SecretRef) -> String {
        secret.0
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the value of a secret looks like where it is handed over, as a regular expression: no control characters, and nothing unseen at
/// either end. What nobody sees beyond U+FFFF is refused there beside it.
pub const VALUE_PATTERN: &str =
    concat!(r"^[^\s", unseen!(), r"]([^\u0000-\u001f\u007f-\u009f]*[^\s", unseen!(), r"])?$");

/// Why a text is no secret. It is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// Nothing in it can be seen.
    #[error("is blank; give the secret itself")]
    Blank,
    /// A paste has brought more than the secret.
    #[error("begins or ends with white space, or with what nobody sees; give the secret without it")]
    Surrounded,
}

/// Looks at a value that somebody hands over, at whatever door: what surrounds it would be sent with it, and refused without a word of that.
pub fn check_value(text: &str) -> Result<(), InvalidSecret> {
    let stray = |character: char| character.is_whitespace() || is_unseen(character);
    match text.trim_matches(stray) {
        "" => Err(InvalidSecret::Blank),
        inner if inner.len() < text.len() => Err(InvalidSecret::Surrounded),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_what_can_be_seen_and_has_nothing_around_it() {
        for blank in ["", " ", "\n", "\u{a0}\t", "\u{200b}\u{feff}"] {
            assert_eq!(check_value(blank), Err(InvalidSecret::Blank), "{blank:?}");
        }
        for surrounded in ["s3cret ", "s3cret\n", "\ts3cret", "\u{feff}s3cret", "s3cret\u{a0}"] {
            assert_eq!(check_value(surrounded), Err(InvalidSecret::Surrounded), "{surrounded:?}");
        }
        for secret in ["s", "s3cret", "a pass phrase", "ü\u{a0}ü"] {
            assert_eq!(check_value(secret), Ok(()), "{secret:?}");
        }
    }
}
