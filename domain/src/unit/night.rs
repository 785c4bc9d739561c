//! Nights and ranges of nights: civil dates that never pass through a time zone. A range holds at least one night and
//! includes its last.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::text::quoted;

/// Text that is no night.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a night: use a civil date YYYY-MM-DD between 2000-01-01 and 2999-12-31", quoted(.0))]
pub struct InvalidNight(pub String);

/// A night, named by the civil date on which it begins at the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Night(NaiveDate);

impl Night {
    /// The date on which the night begins.
    pub fn date(self) -> NaiveDate {
        self.0
    }

    /// The night after.
    pub fn next(self) -> Self {
        Self(self.0.succ_opt().unwrap_or(NaiveDate::MAX))
    }

    /// The night before.
    pub fn previous(self) -> Self {
        Self(self.0.pred_opt().unwrap_or(NaiveDate::MIN))
    }
}

impl fmt::Display for Night {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Night {
    type Err = InvalidNight;

    fn from_str(text: &str) -> Result<Self, InvalidNight> {
        let date = civil_date(text.as_bytes()).filter(|date| (2000..3000).contains(&date.year()));
        date.map(Self).ok_or_else(|| InvalidNight(text.to_owned()))
    }
}

/// `YYYY-MM-DD` and nothing else: no signs, no short forms.
fn civil_date(text: &[u8]) -> Option<NaiveDate> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0_u32, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
    };
    let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    NaiveDate::from_ymd_opt(year, number(&[m1, m2])?, number(&[d1, d2])?)
}

impl TryFrom<String> for Night {
    type Error = InvalidNight;
    fn try_from(text: String) -> Result<Self, InvalidNight> {
        text.parse()
    }
}

impl From<Night> for String {
    fn from(night: Night) -> String {
        night.to_string()
    }
}

/// One or more nights in a row, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NightRange {
    first: Night,
    last: Night,
}

impl NightRange {
    /// The nights from first to last; `None` where the last lies before the first.
    pub fn new(first: Night, last: Night) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The first night.
    pub fn first(self) -> Night {
        self.first
    }

    /// The last night, which belongs to the range.
    pub fn last(self) -> Night {
        self.last
    }

    /// How many nights.
    pub fn count(self) -> u32 {
        let nights = (self.last.0 - self.first.0).num_days() + 1;
        u32::try_from(nights).expect("a range holds at least one night of the years 2000 to 2999")
    }

    /// Every night, in order.
    pub fn nights(self) -> impl Iterator<Item = Night> {
        std::iter::successors(Some(self.first), |night| Some(night.next())).take_while(move |night| *night <= self.last)
    }

    /// Both ranges as one, where `next` begins the night after this one ends.
    pub fn joined(self, next: Self) -> Option<Self> {
        (self.last.next() == next.first).then_some(Self { first: self.first, last: next.last })
    }
}
