//! Collects the parts that Hostaway could not take, while the rest of the unit is mapped.

use crate::channel::{RejectedPart, Section};

#[derive(Debug, Default)]
pub(super) struct Rejections(Vec<RejectedPart>);

impl Rejections {
    pub(super) fn add(&mut self, section: Section, part: String, value: &str, reason: impl Into<String>) {
        self.0.push(RejectedPart { section, part, value: value.to_owned(), reason: reason.into() });
    }

    pub(super) fn into_parts(self) -> Vec<RejectedPart> {
        RejectedPart::bounded(self.0)
    }
}
