//! A reference to a secret. The value never enters an event, a row or a message.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a secret is kept: `file:NAME` in the service's secrets folder, or `env:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef(String);

/// A text that refers to no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a secret reference is file:NAME or env:NAME, NAME of A-Z a-z 0-9 _ . - (not the secret itself)")]
pub struct InvalidSecretRef;

impl SecretRef {
    /// The reference as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretRef {
    type Err = InvalidSecretRef;
    fn from_str(text: &str) -> Result<Self, InvalidSecretRef> {
        let (scheme, name) = text.split_once(':').ok_or(InvalidSecretRef)?;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let fits = (1..=128).contains(&name.len()) && plain && !name.starts_with('.');
        if matches!(scheme, "file" | "env") && fits { Ok(Self(text.to_owned())) } else { Err(InvalidSecretRef) }
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
