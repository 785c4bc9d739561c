//! Typed identifiers. Names of the organisation's own things (org, account, unit) are short strings that fit into a
//! NATS subject token; ids that this service gives out are UUIDs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::text::quoted;

/// The most characters of a name of an organisation, an account or a unit.
pub const LONGEST_NAME: usize = 64;
/// What such a name looks like, as a regular expression.
pub const NAME_PATTERN: &str = "^[A-Za-z0-9_-]+$";

/// A name that cannot be used as an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not an identifier: use 1 to 64 of the characters A-Z a-z 0-9 _ -", quoted(.0))]
pub struct InvalidName(pub String);

fn check_name(name: &str) -> Result<(), InvalidName> {
    let fits = (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fits { Ok(()) } else { Err(InvalidName(name.to_owned())) }
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the name: 1 to 64 of `A-Z a-z 0-9 _ -`.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                check_name(&name)?;
                Ok(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

name_id!(
    /// An organisation: the tenant that owns units and targets.
    OrgId
);
name_id!(
    /// An account inside an organisation, the finer grain of access rights.
    AccountId
);
name_id!(
    /// A unit (villa, apartment) as its organisation names it.
    UnitId
);

/// A text that is no id of this service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ids are UUIDs such as 0199f0f0-0000-7000-8000-000000000000")]
pub struct InvalidId;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId)
            }
        }
    };
}

uuid_id!(
    /// A channel target: one account at one channel, with its limits and credentials.
    TargetId
);
uuid_id!(
    /// A channel listing: one unit on one target.
    ListingId
);
uuid_id!(
    /// One sync job of a listing.
    SyncId
);

impl ListingId {
    /// The listing of a unit on a target: UUIDv5 of (target, unit).
    ///
    /// Invariant: one listing per (unit, target), because the id is the pair and the journal's key is the id.
    pub fn of(target: TargetId, unit: &UnitId) -> Self {
        Self(Uuid::new_v5(&target.0, unit.as_str().as_bytes()))
    }
}

/// The digits of a trace's id.
pub const TRACE_ID_DIGITS: usize = 32;
/// What a trace's id looks like, as a regular expression.
pub const TRACE_ID_PATTERN: &str = "^[0-9a-f]{32}$";

/// A text that is no id of a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a trace's id is 32 of the digits 0-9 a-f, such as 4bf92f3577b34da6a3ce929d0e0e4736")]
pub struct InvalidTraceId;

/// The id of a trace, as a `traceparent` has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceId(String);

impl TraceId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TraceId {
    type Err = InvalidTraceId;
    fn from_str(text: &str) -> Result<Self, InvalidTraceId> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if digits && text.len() == TRACE_ID_DIGITS { Ok(Self(text.to_owned())) } else { Err(InvalidTraceId) }
    }
}

/// The id a channel gave to a listing, as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExternalId(pub String);

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
