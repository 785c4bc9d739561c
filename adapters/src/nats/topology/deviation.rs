//! In what a stream is not as it is to be, for who tells of it and changes nothing.

use std::fmt;

use crate::nats::definition::{Difference, listed};

/// A stream that is not as it is defined.
#[derive(Debug)]
pub enum Deviation {
    /// It is not there.
    Missing(String),
    /// It cannot be looked at.
    Unknown {
        /// Why not.
        words: String,
        /// For now: servers are away, or elect a leader.
        may_pass: bool,
    },
    /// It is there, with other settings.
    Differs {
        /// The stream.
        stream: String,
        /// The settings.
        differences: Vec<Difference>,
    },
    /// A newer build has set it up.
    Newer {
        /// The stream.
        stream: String,
        /// The number of its definition.
        number: u64,
    },
}

impl Deviation {
    /// No start changes anything of it: it keeps more than is defined, or is as a newer build wants it.
    pub fn stays(&self) -> bool {
        match self {
            Self::Missing(_) | Self::Unknown { .. } => false,
            Self::Differs { differences, .. } => differences.iter().all(|difference| difference.keeps_more),
            Self::Newer { .. } => true,
        }
    }

    /// A start that asks for copies asks for some here.
    pub fn asks_for_copies(&self) -> bool {
        match self {
            Self::Missing(_) => true,
            Self::Differs { differences, .. } => {
                differences.iter().any(|difference| difference.setting == "num_replicas")
            }
            Self::Unknown { .. } | Self::Newer { .. } => false,
        }
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(stream) => write!(f, "{stream} is missing"),
            Self::Unknown { words, .. } => f.write_str(words),
            Self::Differs { stream, differences } => write!(f, "{stream}: {}", listed(differences)),
            Self::Newer { stream, number } => write!(f, "{stream} is as a newer build defines it (number {number})"),
        }
    }
}
