//! What a channel is known to have of a listing, made again from the snapshots that were sent, for comparisons.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::channel::{Bodies, ChannelKind, ListingPayload, RejectedPart, Section};
use domain::difference::Differences;
use domain::hash::SnapshotHash;
use domain::listing::Link;
use serde::Serialize;
use utoipa::ToSchema;

use super::explain::doubt::{Doubt, NO_SUCH_LISTING, Refusal};
use super::explain::history::{Known, KnownSections};
use super::moment::moment;
use super::not_taken;
use crate::payloads::{PayloadError, Payloads};

/// Why it is not certain what the channel has, at every door.
pub const CALL_UNKNOWN: &str = "A call has ended of which nobody knows what it wrote";

/// The same of what was sent, or had ended: a call after that is none of it.
pub const CALL_WAS_UNKNOWN: &str = "A call had ended by then of which nobody knows what it wrote";

/// The same with what heals it. `sections` are those that it may have written; with `waits` a sync of the listing waits.
pub fn call_unknown(sections: &[&str], listing: &dyn Display, waits: bool) -> String {
    let sections = sections.join(", ");
    if waits {
        return format!("{CALL_UNKNOWN}: the sync that waits sends {sections} again.");
    }
    format!(
        "{CALL_UNKNOWN}: the next sync sends {sections} again, and `distribution listing sync {listing} --reason REASON` \
         asks for one now."
    )
}

/// Of a section that was there before the listing was unlinked and linked again.
const UNLINKED: &str =
    "It was unlinked since, and what the channel has of it is not followed meanwhile, so all sections are sent.";

/// Of a listing that was linked afresh, until it is found at the channel or created there.
const AFRESH: &str = "It was linked afresh since, and what the channel has of it is not followed until it is found there, so all \
                      sections are sent.";

/// What differences are told against: what the channel took last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ComparedWith {
    /// The snapshots whose sections it took; none before the first time.
    pub snapshots: Vec<String>,
    /// `false` where a call has ended since of which nobody knows what it wrote, or where the listing was unlinked since.
    pub certain: bool,
    /// Sections that it refused since. Of those that are certain it has what it took before.
    pub refused: Vec<RefusedSection>,
    /// Parts of what it took last of which it has something else, though it answered with success. They are not sent again while
    /// their section is the same, unless somebody asks for a sync.
    #[schema(value_type = Vec<Object>)]
    pub not_taken: Vec<RejectedPart>,
    /// Sections of which such a call may have written something that `refused` does not tell of.
    #[serde(skip)]
    pub in_doubt: Vec<&'static str>,
    /// What is to be said where the listing was unlinked since.
    #[serde(skip)]
    pub unlinked: Option<&'static str>,
    /// `false` where this build makes something else of the snapshots than the one that sent them.
    pub exact: bool,
}

/// A section that a channel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedSection {
    /// Which.
    pub section: &'static str,
    /// The HTTP status of the refusal. Where that is one of success, the answer said that it failed.
    pub status: u16,
    /// When the call was made.
    pub at: DateTime<Utc>,
    /// Nothing of it went in. `false` after a call of several intervals: nobody knows whether the channel writes those that are good.
    pub certain: bool,
}

impl ComparedWith {
    /// What differences are told against, in words. What was sent is not what the channel has where it took it in part.
    pub fn last(&self) -> &'static str {
        if self.not_taken.is_empty() {
            "what the channel took last"
        } else {
            "what was sent last, which the channel took in part"
        }
    }

    /// The same of a listing that was linked afresh and is not found at the channel yet, where it is one.
    #[must_use]
    pub fn afresh(self, is_afresh: bool) -> Self {
        if is_afresh { Self { certain: false, unlinked: Some(AFRESH), ..self } } else { self }
    }

    /// What the channel took of it before is not known, though it may have taken something.
    pub fn is_unknown(&self) -> bool {
        self.snapshots.is_empty() && self.unlinked.is_some()
    }

    /// The parts that it did not take, a line each under one that says so.
    pub fn untaken(&self) -> Vec<String> {
        not_taken::words(&self.not_taken)
    }

    /// The same of each field that differs from what was not taken.
    pub fn remark(&self, differences: &mut Differences) {
        not_taken::remark(&self.not_taken, differences);
    }

    /// What was refused, each in a sentence. `until` is the end of what is compared, as in `this was sent`; without one that is now.
    pub fn refusals(&self, until: Option<&str>) -> Vec<String> {
        self.refusals_but_read(until, |_| false)
    }

    /// The same after the channel was read, and these differences from what it took last were found: what went in of a section without
    /// any is known.
    pub fn refusals_after(&self, found: &Differences) -> Vec<String> {
        let agrees = |section: &str| found.sections.iter().all(|differing| differing.section.as_str() != section);
        self.refusals_but_read(None, agrees)
    }

    fn refusals_but_read(&self, until: Option<&str>, agrees: impl Fn(&str) -> bool) -> Vec<String> {
        let words = |refused: &RefusedSection| {
            let RefusedSection { section, status, at, certain } = refused;
            let though = if *status < 300 { ", told as a failure," } else { "" };
            let refusal = format!("The channel refused {section} (HTTP {status}{though} at {})", moment(*at));
            match until {
                _ if !certain && agrees(section) => format!("{refusal}."),
                _ if !certain => format!("{refusal}; nobody knows whether some of it went in."),
                _ if *status == NO_SUCH_LISTING => format!("{refusal}: it had no such listing then."),
                None => format!("{refusal}, so it has what it took of that before."),
                Some(until) => format!("{refusal}, so it still had what it took of that before when {until}."),
            }
        };
        self.refused.iter().map(words).collect()
    }
}

/// The sections that a channel is known to have.
#[derive(Debug, Default)]
pub struct KnownPayload {
    payloads: BTreeMap<SnapshotHash, Arc<ListingPayload>>,
    sections: KnownSections,
}

impl KnownPayload {
    /// Maps the snapshots again.
    pub async fn load(
        payloads: &Payloads,
        kind: ChannelKind,
        link: &Link,
        known: &KnownSections,
    ) -> Result<Self, PayloadError> {
        let mut loaded = Self { payloads: BTreeMap::new(), sections: known.clone() };
        for known in known.values() {
            if let Entry::Vacant(vacant) = loaded.payloads.entry(known.snapshot) {
                vacant.insert(payloads.of_snapshot(kind, known.snapshot, link).await?);
            }
        }
        Ok(loaded)
    }

    /// The body of each section.
    pub fn bodies(&self) -> Bodies<'_> {
        let body = |section: &Section, snapshot: &SnapshotHash| {
            Some((*section, &self.payloads.get(snapshot)?.sections.get(section)?.body))
        };
        self.sections.iter().filter_map(|(section, known)| body(section, &known.snapshot)).collect()
    }

    /// What differences are told against.
    pub fn described(&self) -> ComparedWith {
        let exact = self.sections.iter().all(|(section, known)| {
            let payload = self.payloads.get(&known.snapshot).and_then(|payload| payload.sections.get(section));
            payload.is_some_and(|payload| payload.hash == known.hash)
        });
        let refused: Vec<RefusedSection> = self.sections.iter().filter_map(refused).collect();
        let doubted = |doubt: Doubt| self.sections.iter().filter(move |(_, known)| known.doubt == Some(doubt));
        let in_doubt: Vec<_> = doubted(Doubt::Unknown).map(|(section, _)| section.as_str()).collect();
        let unlinked = doubted(Doubt::Unlinked).next().map(|_| UNLINKED);
        let not_taken = self.sections.values().flat_map(|known| known.not_taken.iter().cloned()).collect();
        let not_taken = RejectedPart::bounded(not_taken);
        ComparedWith {
            snapshots: self.payloads.keys().map(ToString::to_string).collect(),
            certain: in_doubt.is_empty() && unlinked.is_none() && refused.iter().all(|refused| refused.certain),
            refused,
            not_taken,
            in_doubt,
            unlinked,
            exact,
        }
    }
}

fn refused((section, known): (&Section, &Known)) -> Option<RefusedSection> {
    match known.doubt? {
        Doubt::Refused(Refusal { status, at, certain }) => {
            Some(RefusedSection { section: section.as_str(), status, at, certain })
        }
        Doubt::Unknown | Doubt::Unlinked => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::difference::FieldDifference;

    use super::*;

    fn nothing() -> ComparedWith {
        let (snapshots, refused, not_taken) = (Vec::new(), Vec::new(), Vec::new());
        let in_doubt = Vec::new();
        ComparedWith { snapshots, certain: true, refused, not_taken, in_doubt, unlinked: None, exact: true }
    }

    #[test]
    fn a_refusal_is_told_as_it_stood_then_and_without_what_nobody_knows() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let says = |status: u16, certain: bool, until: Option<&str>| {
            let refused = vec![RefusedSection { section: "rates", status, at, certain }];
            let with = ComparedWith { certain, refused, ..nothing() };
            let told = with.refusals(until).concat();
            let begins = format!("The channel refused rates (HTTP {status} at {})", moment(at));
            told.strip_prefix(&begins).unwrap_or(&told).to_owned()
        };
        assert_eq!(says(422, true, None), ", so it has what it took of that before.");
        let sent = Some("this was sent");
        assert_eq!(says(422, true, sent), ", so it still had what it took of that before when this was sent.");
        let told = |status: u16| {
            let refused = vec![RefusedSection { section: "rates", status, at, certain: true }];
            ComparedWith { refused, ..nothing() }.refusals(None).concat()
        };
        assert!(told(200).starts_with("The channel refused rates (HTTP 200, told as a failure, at "), "{}", told(200));
        for until in [None, sent] {
            assert_eq!(says(422, false, until), "; nobody knows whether some of it went in.");
            assert_eq!(says(404, true, until), ": it had no such listing then.");
        }
    }

    #[test]
    fn after_a_read_nobody_wonders_what_went_in_of_a_section_that_agrees() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let refused = vec![RefusedSection { section: "rates", status: 422, at, certain: false }];
        let with = ComparedWith { certain: false, refused, ..nothing() };
        for (section, wonders) in [(None, false), (Some(Section::Content), false), (Some(Section::Rates), true)] {
            let mut found = Differences::default();
            if let Some(section) = section {
                found.add(section, vec![FieldDifference::new("a field".to_owned(), None, Some(1.into()))]);
            }
            let told = with.refusals_after(&found).concat();
            assert!(told.starts_with("The channel refused rates (HTTP 422 at ") && told.ends_with('.'), "{told}");
            assert_eq!(told.contains("nobody knows"), wonders, "{told}");
        }
    }
}
