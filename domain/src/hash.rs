//! SHA-256 over canonical JSON (RFC 8785): the address of a unit snapshot, the fingerprint of a channel payload and
//! the idempotency key of a sync.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::canonical::canonical_json;

/// What a SHA-256 looks like as text, as a regular expression.
pub const SHA256_PATTERN: &str = "^[0-9A-Fa-f]{64}$";

/// Text that is not a SHA-256 in hex.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SHA-256: 64 hexadecimal digits are wanted")]
pub struct InvalidHash(pub String);

macro_rules! sha256_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// The hash of a value's canonical JSON.
            pub fn of_json(value: &Value) -> Self {
                Self::of_bytes(canonical_json(value).as_bytes())
            }

            /// The hash of bytes.
            pub fn of_bytes(bytes: &[u8]) -> Self {
                Self(Sha256::digest(bytes).into())
            }

            /// The hash of parts that are joined by a byte which none of them contains.
            pub fn of_parts(parts: &[&str]) -> Self {
                Self::of_bytes(parts.join("\u{1f}").as_bytes())
            }

            /// The 32 bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = InvalidHash;
            fn from_str(text: &str) -> Result<Self, InvalidHash> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidHash(text.to_owned()))?;
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidHash;
            fn try_from(text: String) -> Result<Self, InvalidHash> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> String {
                hash.to_string()
            }
        }
    };
}

sha256_type!(
    /// The address of a unit snapshot: SHA-256 of the canonical JSON of the message that carried it.
    SnapshotHash
);
sha256_type!(
    /// The fingerprint of one section of a channel payload.
    PayloadHash
);
sha256_type!(
    /// What makes a sync job unique within its listing.
    IdempotencyKey
);
