//! What stands in the store's file: names and times as they are, values sealed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Standing, disk};

/// The form of the file. A newer one is refused, not guessed at.
const VERSION: u32 = 1;
/// A change has come to its end by then, or nobody knows of it any more: a database from before it was put back.
const LONGEST_PENDING: TimeDelta = TimeDelta::days(7);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Contents {
    version: u32,
    pub(super) secrets: BTreeMap<String, Sealed>,
}

/// One secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) created_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rotated_at: Option<DateTime<Utc>>,
    pub(super) value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<Previous>,
    /// As what the value was put there, while nobody knows whether that change came about: the previous one may hold again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pending: Option<Uuid>,
    /// As what the value had been put there that this one took the place of again: whoever takes it back once more hears that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) taken_back: Option<Uuid>,
}

impl Sealed {
    /// Whether the previous value is still given.
    pub(super) fn keeps(&self, previous: &Previous, now: DateTime<Utc>) -> bool {
        now < self.keeps_until(previous)
    }

    /// Until when that is, as long as nothing else is known of the change.
    pub(super) fn keeps_until(&self, previous: &Previous) -> DateTime<Utc> {
        previous.until + if self.pending.is_some() { LONGEST_PENDING } else { TimeDelta::zero() }
    }

    /// What is known of the change that put the value there.
    pub(super) fn standing(&self) -> Standing {
        match (self.pending, self.taken_back) {
            (Some(_), _) => Standing::Pending,
            (None, Some(_)) => Standing::TakenBack,
            (None, None) => Standing::Settled,
        }
    }

    /// Whether it is as it was made, as this.
    pub(super) fn is_as_made(&self, put: Uuid) -> bool {
        self.pending == Some(put) && self.rotated_at.is_none() && self.previous.is_none()
    }
}

/// The value from before the last rotation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Previous {
    pub(super) value: String,
    /// It is not given any more from then on, and is gone with the next write, unless the change is pending.
    pub(super) until: DateTime<Utc>,
}

impl Contents {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, secrets: BTreeMap::new() });
            }
            Err(error) => return Err(error),
        };
        let contents: Self = serde_json::from_slice(&bytes)?;
        if contents.version == VERSION {
            Ok(contents)
        } else {
            Err(io::Error::other(format!("it is of version {}; this build knows {VERSION}", contents.version)))
        }
    }

    pub(super) fn write(&mut self, path: &Path, folder: &Path, now: DateTime<Utc>) -> io::Result<()> {
        for sealed in self.secrets.values_mut() {
            let is_kept = sealed.previous.as_ref().is_some_and(|previous| sealed.keeps(previous, now));
            sealed.previous.take_if(|_| !is_kept);
        }
        disk::replace(path, folder, |file| Ok(serde_json::to_writer_pretty(file, self)?))
    }
}
