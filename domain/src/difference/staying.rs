//! What a state of a listing tells nothing of, though the one before it did: nights in no range of its calendar, a text or a list that
//! is left out. The channel keeps that as it is, so it is no difference. Whoever reads what differs is told of it once for each section.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{LONGEST_IN_WORDS, LONGEST_VALUE, Nights, beside};
use crate::channel::Section;
use crate::counted::{agreeing, counted};
use crate::text::cut;
use crate::unit::{Night, NightRange};

/// Ranges of nights beyond this are not listed.
const MOST_RANGES: usize = 50;
/// The same in words.
const MOST_RANGES_IN_WORDS: usize = 3;

/// What stays of one section: nights or fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Staying {
    /// The section.
    pub section: Section,
    /// The nights that stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nights: Option<StayingNights>,
    /// The fields that stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<StayingField>,
}

/// Nights that stay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StayingNights {
    /// The first one.
    pub first: Night,
    /// The last one. Between the two may be others, which are told of.
    pub last: Night,
    /// How many stay.
    pub count: usize,
    /// Those in a row; the first 50 of them.
    pub ranges: Vec<Nights>,
}

/// A field that stays, by the names of the channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StayingField {
    /// Where it stands: `listing.houseRules`.
    pub path: String,
    /// What was told of it last. A long text is cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Of a list how many rows were told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
}

impl Staying {
    /// Nights in rows, in order; `None` without any.
    pub fn nights(section: Section, ranges: &[NightRange]) -> Option<Self> {
        let (first, last) = (ranges.first()?.first(), ranges.last()?.last());
        let count = ranges.iter().map(|range| range.nights().count()).sum();
        let ranges = ranges.iter().take(MOST_RANGES).map(|range| Nights::from(*range)).collect();
        let nights = Some(StayingNights { first, last, count, ranges });
        Some(Self { section, nights, fields: Vec::new() })
    }

    /// Fields by their place, with what was told of them last; `None` without any.
    pub fn fields<'a>(section: Section, fields: impl IntoIterator<Item = (String, &'a Value)>) -> Option<Self> {
        let field = |(path, value): (String, &Value)| match value {
            Value::Array(rows) => StayingField { path, value: None, rows: Some(rows.len()) },
            value => StayingField { path, value: Some(beside(value, None, LONGEST_VALUE)), rows: None },
        };
        let fields: Vec<StayingField> = fields.into_iter().map(field).collect();
        (!fields.is_empty()).then_some(Self { section, nights: None, fields })
    }
}

impl fmt::Display for Staying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nights = self.nights.iter().map(StayingNights::to_string);
        let what: Vec<String> = nights.chain(self.fields.iter().map(StayingField::to_string)).collect();
        let count = self.nights.as_ref().map_or(0, |nights| nights.count) + self.fields.len();
        let stays = agreeing(
            count,
            "is not told of any more and stays at the channel as it is",
            "are not told of any more and stay at the channel as they are",
        );
        write!(f, "{}: {} {stays}", self.section, what.join(", "))
    }
}

impl fmt::Display for StayingNights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nights = counted(self.count, "night");
        if self.ranges.len() > MOST_RANGES_IN_WORDS {
            return write!(f, "{nights} (between {} and {})", self.first, self.last);
        }
        let range = |range: &Nights| match range.count {
            1 => range.first.to_string(),
            _ => format!("{} to {}", range.first, range.last),
        };
        write!(f, "{nights} ({})", self.ranges.iter().map(range).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for StayingField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(rows) = self.rows {
            write!(f, " ({})", counted(rows, "row"))?;
        }
        match &self.value {
            Some(value) => write!(f, " ({})", cut(&value.to_string(), LONGEST_IN_WORDS)),
            None => Ok(()),
        }
    }
}
