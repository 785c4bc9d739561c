//! Collects the parts that Hostaway could not take, while the rest of the unit is mapped.

use crate::channel::{RejectedPart, Section};

/// Values are shown, not archived: a longer one is cut.
const MOST_SHOWN: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Rejections(Vec<RejectedPart>);

impl Rejections {
    pub(super) fn add(&mut self, section: Section, part: String, value: &str, reason: impl Into<String>) {
        let value = value.chars().take(MOST_SHOWN).collect();
        self.0.push(RejectedPart { section, part, value, reason: reason.into() });
    }

    pub(super) fn into_parts(self) -> Vec<RejectedPart> {
        self.0
    }
}
