//! Payloads: a unit snapshot mapped for one listing. Mapped once, shared while it is hot.

use std::sync::Arc;

use adapters::units::{SnapshotLoader, UnitStore};
use domain::channel::{ChannelKind, ListingPayload};
use domain::hash::SnapshotHash;
use domain::ids::ListingId;
use domain::mapping;
use domain::unit::UnitChanged;
use quick_cache::sync::Cache;

/// Payloads that are kept; one of a year's calendar takes some 50 KB.
const KEPT: usize = 256;

/// A snapshot that cannot be mapped.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The store failed.
    #[error("failed to read the unit snapshot: {0}")]
    Store(String),
    /// No snapshot has this address.
    #[error("there is no unit snapshot {0}")]
    NotFound(SnapshotHash),
    /// A snapshot that this build cannot read any more.
    #[error("unit snapshot {hash} cannot be read: {reason}")]
    Unreadable {
        /// Its address.
        hash: SnapshotHash,
        /// Which field, and why.
        reason: String,
    },
}

/// Maps snapshots.
pub struct Payloads {
    snapshots: SnapshotLoader,
    mapped: Cache<(SnapshotHash, ListingId), Arc<ListingPayload>>,
}

impl std::fmt::Debug for Payloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payloads").field("kept", &self.mapped.len()).finish_non_exhaustive()
    }
}

impl Payloads {
    /// Payloads of the snapshots in `units`.
    pub fn new(units: UnitStore) -> Self {
        Self { snapshots: SnapshotLoader::new(units), mapped: Cache::new(KEPT) }
    }

    /// Maps a unit that is at hand.
    pub fn map(
        &self,
        kind: ChannelKind,
        unit: &UnitChanged,
        hash: SnapshotHash,
        listing: ListingId,
    ) -> Arc<ListingPayload> {
        if let Some(payload) = self.mapped.get(&(hash, listing)) {
            return payload;
        }
        let payload = Arc::new(mapping::map(kind, unit, &listing));
        self.mapped.insert((hash, listing), payload.clone());
        payload
    }

    /// The payload of a stored snapshot.
    pub async fn of_snapshot(
        &self,
        kind: ChannelKind,
        hash: SnapshotHash,
        listing: ListingId,
    ) -> Result<Arc<ListingPayload>, PayloadError> {
        if let Some(payload) = self.mapped.get(&(hash, listing)) {
            return Ok(payload);
        }
        let snapshot = self.snapshots.load(hash).await.map_err(PayloadError::Store)?;
        let snapshot = snapshot.ok_or(PayloadError::NotFound(hash))?;
        let unit = UnitChanged::from_json(snapshot.body.as_bytes())
            .map_err(|invalid| PayloadError::Unreadable { hash, reason: invalid.to_string() })?;
        Ok(self.map(kind, &unit, hash, listing))
    }
}
