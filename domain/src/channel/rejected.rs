//! Parts of a listing that were refused, few and short enough that an event with them always fits into a message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Section;
use crate::counted::agreeing;
use crate::text::cut;

/// The part that a section is named by which was refused as a whole.
const ALL_OF_THE_LISTING: &str = "listing";
/// The same of nights. Older builds named them by the listing, too.
const ALL_OF_THE_CALENDAR: &str = "calendar";
/// More parts than this are counted, not listed.
const MOST_PARTS: usize = 50;
/// The place of an entry that counts those that are not listed.
const MORE: &str = "and more";
/// Values are shown, not archived: a longer one is cut.
const LONGEST_VALUE: usize = 200;
/// The same for the place of a part, which may hold a name from outside.
const LONGEST_PART: usize = 200;
/// The same for reasons, which may quote the channel.
const LONGEST_REASON: usize = 400;

/// A part that was refused, by our mapping or by the channel, while the rest of the listing went on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedPart {
    /// The section it belongs to.
    pub section: Section,
    /// Where it stands, e.g. `unit.amenities[4]` or `listing.cleaningFee`.
    pub part: String,
    /// The value that was refused.
    pub value: String,
    /// Why, and what would be right.
    pub reason: String,
}

impl RejectedPart {
    /// The first 50 parts, cut where they are long, and one entry for each section of which there are more. What is
    /// bounded already stays as it is.
    pub fn bounded(parts: Vec<Self>) -> Vec<Self> {
        let mut kept = Vec::with_capacity(parts.len().min(MOST_PARTS));
        let mut counted: BTreeMap<Section, Self> = BTreeMap::new();
        let mut more: BTreeMap<Section, usize> = BTreeMap::new();
        for part in parts {
            if part.part == MORE {
                counted.insert(part.section, part.shortened());
            } else if kept.len() < MOST_PARTS {
                kept.push(part.shortened());
            } else {
                *more.entry(part.section).or_default() += 1;
            }
        }
        for (section, count) in more {
            let parts = agreeing(count, "part was", "parts were");
            let reason = format!("at least {count} more {parts} refused; mend the listed ones first");
            counted.insert(section, Self { section, part: MORE.to_owned(), value: String::new(), reason });
        }
        kept.extend(counted.into_values());
        kept
    }

    /// A section that the channel refused as a whole, and why.
    pub fn all_of(section: Section, reason: String) -> Self {
        let part = match section {
            Section::Availability | Section::Rates => ALL_OF_THE_CALENDAR,
            Section::Content | Section::Images => ALL_OF_THE_LISTING,
        };
        Self { section, part: part.to_owned(), value: String::new(), reason }
    }

    /// The channel refused all of its section.
    pub fn is_all_of_it(&self) -> bool {
        [ALL_OF_THE_LISTING, ALL_OF_THE_CALENDAR].contains(&self.part.as_str())
    }

    /// A part of the unit, which the mapping left out, so that it is named anew with each request; the others are what
    /// the channel refused of what was sent.
    pub fn is_of_the_unit(&self) -> bool {
        self.part.starts_with("unit.") || self.part == MORE
    }

    fn shortened(self) -> Self {
        Self {
            section: self.section,
            part: cut(&self.part, LONGEST_PART),
            value: cut(&self.value, LONGEST_VALUE),
            reason: cut(&self.reason, LONGEST_REASON),
        }
    }
}
