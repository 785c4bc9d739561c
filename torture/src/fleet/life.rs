//! A process from its start to its end.

use std::net::Ipv4Addr;
use std::path::PathBuf;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// kill -9: what it did last is known to nobody.
    Killed,
    /// It ended after a SIGTERM.
    Rolled {
        /// With success.
        well: bool,
    },
    /// It was asked to stop and had not ended after a minute, so it was killed.
    Overdue {
        /// When it was asked, in microseconds since the epoch.
        asked_us: u64,
    },
    /// By itself.
    ByItself(String),
}

/// A process of a member, running or not.
#[derive(Debug, Clone)]
pub struct Life {
    /// Its name and its number.
    pub name: String,
    /// The address that its calls to the channel came from; nobody else's.
    pub source: Ipv4Addr,
    /// How it ended; `None` while it runs.
    pub ending: Option<Ending>,
    /// When, in microseconds since the epoch; 0 while it runs.
    pub ended_us: u64,
    /// What it printed.
    pub log: PathBuf,
}

impl Life {
    /// What it printed.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
