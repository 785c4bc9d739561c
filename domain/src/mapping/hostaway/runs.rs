//! Findings on nights: nights in a row of which the same is found come as one.

use std::collections::HashMap;

use crate::unit::{Night, NightRange};

/// What was found of one field on nights in a row.
pub(super) struct Run<'a, T> {
    pub field: &'a str,
    pub nights: NightRange,
    pub found: T,
}

/// The runs so far, and where the last one of each field stands. Nights are told in order.
pub(super) struct Runs<'a, T> {
    runs: Vec<Run<'a, T>>,
    last_of: HashMap<&'a str, usize>,
}

impl<'a, T: PartialEq> Runs<'a, T> {
    pub fn new() -> Self {
        Self { runs: Vec::new(), last_of: HashMap::new() }
    }

    pub fn add(&mut self, field: &'a str, night: Night, found: T) {
        let nights = NightRange::new(night, night).expect("a night is a range of one");
        if let Some(last) = self.last_of.get(field).map(|index| &mut self.runs[*index])
            && last.found == found
            && let Some(joined) = last.nights.joined(nights)
        {
            last.nights = joined;
            return;
        }
        self.last_of.insert(field, self.runs.len());
        self.runs.push(Run { field, nights, found });
    }

    pub fn into_vec(self) -> Vec<Run<'a, T>> {
        self.runs
    }
}
