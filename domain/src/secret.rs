//! A reference to a secret. The value never enters an event, a row or a message.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
