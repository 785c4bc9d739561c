//! What a channel is known to have of a listing, made again from the snapshots that were sent, for comparisons.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use domain::channel::{Bodies, ChannelKind, ListingPayload, Section};
use domain::hash::SnapshotHash;
use domain::ids::ListingId;
use serde::Serialize;
use utoipa::ToSchema;

use super::explain::history::KnownSections;
use crate::payloads::{PayloadError, Payloads};

/// What differences are told against: what the channel took last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ComparedWith {
    /// The snapshots whose sections it took; none before the first time.
    pub snapshots: Vec<String>,
    /// `false` where a call has ended since of which nobody knows what it wrote.
    pub certain: bool,
    /// `false` where this build makes something else of the snapshots than the one that sent them.
    pub exact: bool,
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
            certain: self.sections.values().all(|known| known.certain),
            exact,
        }
    }
}
