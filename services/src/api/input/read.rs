//! Fields that are given as texts and mean something else. Each says by itself what would be right, so that nobody has to guess
//! it from the words of a library.

use chrono::{DateTime, Datelike as _, Utc};
use domain::ids::TraceId;
use serde::de::{Deserialize, Deserializer, Error};
use uuid::Uuid;

/// What can be read from a text.
pub(in crate::api) trait Read: Sized {
    /// What a text that cannot be read should be.
    const RIGHT: &'static str;
    fn read(text: &str) -> Option<Self>;
}

impl Read for Uuid {
    const RIGHT: &'static str = "is a UUID, as a list gives it";
    fn read(text: &str) -> Option<Self> {
        Self::parse_str(text).ok()
    }
}

impl Read for DateTime<Utc> {
    const RIGHT: &'static str = "is a time in UTC, such as 2026-11-24T03:00:00Z";
    fn read(text: &str) -> Option<Self> {
        // RFC 3339 has four digits for a year, and the database has an end.
        text.parse().ok().filter(|time: &Self| (0..=9999).contains(&time.year()))
    }
}

impl Read for TraceId {
    const RIGHT: &'static str = "is a trace's id: 32 of the digits 0-9 a-f, as a traceparent has it";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A switch of a query.
impl Read for bool {
    const RIGHT: &'static str = "is true or false";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A number of a query. In JSON, numbers are numbers.
impl Read for i64 {
    const RIGHT: &'static str = "is a whole number";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A field that has to be there.
pub(in crate::api) fn required<'de, D: Deserializer<'de>, T: Read>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    T::read(&text).ok_or_else(|| Error::custom(T::RIGHT))
}

/// A field that may be absent.
pub(in crate::api) fn optional<'de, D: Deserializer<'de>, T: Read>(from: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| T::read(&text).ok_or_else(|| Error::custom(T::RIGHT))).transpose()
}
