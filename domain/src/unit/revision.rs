//! The revision of a unit: grows with each change, so that an older message arriving late is known as such.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The largest integer that every JSON reader keeps exact (2^53 - 1).
const LARGEST: u64 = (1 << 53) - 1;

/// A number that is no revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is {0}; a revision must lie between 1 and 9007199254740991 and grow with each change of the unit")]
pub struct InvalidRevision(pub u64);

/// The revision of a unit, 1 to 2^53 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Revision(u64);

impl Revision {
    /// Checks the number.
    pub fn new(number: u64) -> Result<Self, InvalidRevision> {
        if (1..=LARGEST).contains(&number) { Ok(Self(number)) } else { Err(InvalidRevision(number)) }
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u64> for Revision {
    type Error = InvalidRevision;
    fn try_from(number: u64) -> Result<Self, InvalidRevision> {
        Self::new(number)
    }
}

impl From<Revision> for u64 {
    fn from(revision: Revision) -> u64 {
        revision.0
    }
}
