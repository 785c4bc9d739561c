//! A moment in words.

use chrono::{DateTime, SecondsFormat, Utc};

/// A moment, to the millisecond, in UTC.
pub fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
