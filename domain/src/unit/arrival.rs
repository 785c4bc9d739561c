//! When guests may come and must go, as wall-clock times in the unit's own time zone.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::problem::Problems;
use crate::text::quoted;

/// Text that is no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a time of day: use HH:MM from 00:00 to 23:59", quoted(.0))]
pub struct InvalidTime(pub String);

/// A time of day in the unit's time zone, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime {
    hour: u8,
    minute: u8,
}

impl LocalTime {
    /// The hour, 0 to 23.
    pub fn hour(self) -> u8 {
        self.hour
    }

    /// The minute, 0 to 59.
    pub fn minute(self) -> u8 {
        self.minute
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl FromStr for LocalTime {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
        let time = match *text.as_bytes() {
            [h1, h2, b':', m1, m2] => (|| Some((digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?)))(),
            _ => None,
        };
        match time {
            Some((hour @ 0..=23, minute @ 0..=59)) => Ok(Self { hour, minute }),
            _ => Err(InvalidTime(text.to_owned())),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with from and, where it ends, until")]
pub(super) struct CheckInWire {
    from: String,
    until: Option<String>,
}

/// When guests may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckIn {
    /// The earliest arrival.
    pub from: LocalTime,
    /// The latest arrival; before `from` it means the next morning, absent it means any time.
    pub until: Option<LocalTime>,
}

impl CheckIn {
    pub(super) fn check(wire: &CheckInWire, problems: &mut Problems) -> Option<Self> {
        let from = problems.parsed("unit.check_in.from", wire.from.parse());
        let until = wire.until.as_ref().map(|until| problems.parsed("unit.check_in.until", until.parse()));
        Some(Self { from: from?, until: until.flatten() })
    }
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with until")]
pub(super) struct CheckOutWire {
    until: String,
}

/// When guests must have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOut {
    /// The latest departure.
    pub until: LocalTime,
}

impl CheckOut {
    pub(super) fn check(wire: &CheckOutWire, problems: &mut Problems) -> Option<Self> {
        problems.parsed("unit.check_out.until", wire.until.parse()).map(|until| Self { until })
    }
}
