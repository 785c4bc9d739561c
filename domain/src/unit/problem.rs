//! What is wrong with a unit change, field by field. Checks go on after the first finding, so that whoever sent the
//! message sees everything at once; the list is bounded, because a calendar can be wrong a thousand times.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::counted::counted;

/// More findings than this are counted, not listed.
const MOST_PROBLEMS: usize = 100;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where it stands in the body, e.g. `unit.calendar[3].last_night`; `body` for the body as a whole.
    pub field: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// A unit change that cannot be used, with everything that is wrong with it (at least one problem).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidUnit {
    /// The findings: those of the shape come alone, the others in the order of the contract's fields.
    pub problems: Vec<Problem>,
}

impl InvalidUnit {
    pub(super) fn one(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { problems: vec![Problem { field: field.into(), reason: reason.into() }] }
    }
}

impl fmt::Display for InvalidUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidUnit {}

/// Collects findings while the parts of a unit are checked.
#[derive(Debug, Default)]
pub(super) struct Problems {
    listed: Vec<Problem>,
    unlisted: usize,
}

impl Problems {
    pub(super) fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        if self.listed.len() < MOST_PROBLEMS {
            self.listed.push(Problem { field: field.into(), reason: reason.into() });
        } else {
            self.unlisted += 1;
        }
    }

    /// The value of a parse, or a finding with the parser's own words.
    pub(super) fn parsed<T, E: fmt::Display>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// A whole number within its bounds. The field is named only when it has to be.
    pub(super) fn within(
        &mut self,
        value: i64,
        allowed: RangeInclusive<u16>,
        field: impl FnOnce() -> String,
    ) -> Option<u16> {
        let fits = u16::try_from(value).ok().filter(|value| allowed.contains(value));
        if fits.is_none() {
            let (least, most) = allowed.into_inner();
            self.add(field(), format!("is {value}; it must lie between {least} and {most}"));
        }
        fits
    }

    /// The checked value, or every finding.
    pub(super) fn finish<T>(mut self, checked: Option<T>) -> Result<T, InvalidUnit> {
        if self.unlisted > 0 {
            self.listed.push(Problem {
                field: "body".to_owned(),
                reason: format!("has {}; mend these first", counted(self.unlisted, "more problem")),
            });
        }
        match checked {
            Some(value) if self.listed.is_empty() => Ok(value),
            _ => Err(InvalidUnit { problems: self.listed }),
        }
    }
}
