//! What a channel is known to have of a listing, made again from the snapshots that were sent, for comparisons.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::channel::{Bodies, ChannelKind, ListingPayload, Section};
use domain::hash::SnapshotHash;
use domain::ids::ListingId;
use serde::Serialize;
use utoipa::ToSchema;

use super::explain::doubt::{Doubt, Refusal};
use super::explain::history::{Known, KnownSections};
use super::moment::moment;
use crate::payloads::{PayloadError, Payloads};

/// What differences are told against: what the channel took last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ComparedWith {
    /// The snapshots whose sections it took; none before the first time.
    pub snapshots: Vec<String>,
    /// `false` where a call has ended since of which nobody knows what it wrote.
    pub certain: bool,
    /// Sections that it refused since, so that it has of them what it took before.
    pub refused: Vec<RefusedSection>,
    /// `false` where this build makes something else of the snapshots than the one that sent them.
    pub exact: bool,
}

/// A section that a channel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedSection {
    /// Which.
    pub section: &'static str,
    /// The HTTP status of the refusal.
    pub status: u16,
    /// When the call was made.
    pub at: DateTime<Utc>,
}

impl ComparedWith {
    /// What was refused, each in a sentence.
    pub fn refusals(&self) -> Vec<String> {
        let words = |refused: &RefusedSection| {
            let RefusedSection { section, status, at } = refused;
            let at = moment(*at);
            if *status == NO_SUCH_LISTING {
                format!("The channel refused {section} (HTTP {status} at {at}): it had no such listing then.")
            } else {
                format!("The channel refused {section} (HTTP {status} at {at}), so it has what it took of that before.")
            }
        };
        self.refused.iter().map(words).collect()
    }
}

/// The HTTP status of what is not there.
const NO_SUCH_LISTING: u16 = 404;

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
        listing: ListingId,
        known: &KnownSections,
    ) -> Result<Self, PayloadError> {
        let mut loaded = Self { payloads: BTreeMap::new(), sections: known.clone() };
        for known in known.values() {
            if let Entry::Vacant(vacant) = loaded.payloads.entry(known.snapshot) {
                vacant.insert(payloads.of_snapshot(kind, known.snapshot, listing).await?);
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
        ComparedWith {
            snapshots: self.payloads.keys().map(ToString::to_string).collect(),
            certain: self.sections.values().all(|known| known.doubt != Some(Doubt::Unknown)),
            refused: self.sections.iter().filter_map(refused).collect(),
            exact,
        }
    }
}

fn refused((section, known): (&Section, &Known)) -> Option<RefusedSection> {
    match known.doubt? {
        Doubt::Refused(Refusal { status, at }) => Some(RefusedSection { section: section.as_str(), status, at }),
        Doubt::Unknown => None,
    }
}
