//! Payloads: a unit snapshot mapped for one listing. Mapped once, shared while it is hot.

use std::sync::Arc;

use adapters::postgres::passes;
use adapters::units::{NotLoaded, SnapshotLoader, UnitStore};
use domain::channel::{ChannelKind, ListingPayload};
use domain::hash::SnapshotHash;
use domain::ids::ListingId;
use domain::mapping;
use domain::unit::UnitChanged;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::Value;

/// Bytes of payloads that are kept, about: what the intake has mapped is still there when the dispatcher comes to it, as
/// long as some thousand listings wait at most.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;
/// The payload of a unit without a calendar, about; one of a year's calendar takes ten times as much.
const USUAL_BYTES: u64 = 8 * 1024;

/// A snapshot that cannot be mapped.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The store failed.
    #[error("failed to read the unit snapshot: {0}")]
    Store(NotLoaded),
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

impl PayloadError {
    /// Whether Postgres could not do it now.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Store(NotLoaded::Failed(error)) => passes(error),
            Self::Store(NotLoaded::Closed) => true,
            Self::NotFound(_) | Self::Unreadable { .. } => false,
        }
    }
}

/// Maps snapshots.
pub struct Payloads {
    snapshots: SnapshotLoader,
    mapped: Cache<Address, Mapped, ByBytes>,
}

/// Which snapshot, for which listing.
type Address = (SnapshotHash, ListingId);

/// A payload, and what it takes in memory, about.
#[derive(Clone)]
struct Mapped {
    payload: Arc<ListingPayload>,
    bytes: u64,
}

impl Mapped {
    fn new(payload: ListingPayload) -> Self {
        let bytes = 512 + payload.sections.values().map(|section| bytes_of(&section.body)).sum::<u64>();
        Self { payload: Arc::new(payload), bytes }
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Address, Mapped> for ByBytes {
    fn weight(&self, _: &Address, mapped: &Mapped) -> u64 {
        mapped.bytes
    }
}

/// What a value takes, about: the value itself, its text, and for a field its name and its place in the tree.
fn bytes_of(value: &Value) -> u64 {
    let inside = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(bytes_of).sum(),
        Value::Object(fields) => fields.iter().map(|(name, field)| 48 + name.len() as u64 + bytes_of(field)).sum(),
    };
    size_of::<Value>() as u64 + inside
}

impl std::fmt::Debug for Payloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payloads").field("kept", &self.mapped.len()).finish_non_exhaustive()
    }
}

impl Payloads {
    /// Payloads of the snapshots in `units`.
    pub fn new(units: UnitStore) -> Self {
        let usual = usize::try_from(KEPT_BYTES / USUAL_BYTES).unwrap_or(usize::MAX);
        let mapped = Cache::with_weighter(usual, KEPT_BYTES, ByBytes);
        Self { snapshots: SnapshotLoader::new(units), mapped }
    }

    /// Maps a unit that is at hand.
    pub fn map(
        &self,
        kind: ChannelKind,
        unit: &UnitChanged,
        hash: SnapshotHash,
        listing: ListingId,
    ) -> Arc<ListingPayload> {
        if let Some(mapped) = self.mapped.get(&(hash, listing)) {
            return mapped.payload;
        }
        let mapped = Mapped::new(mapping::map(kind, unit, &listing));
        self.mapped.insert((hash, listing), mapped.clone());
        mapped.payload
    }

    /// The payload of a stored snapshot.
    pub async fn of_snapshot(
        &self,
        kind: ChannelKind,
        hash: SnapshotHash,
        listing: ListingId,
    ) -> Result<Arc<ListingPayload>, PayloadError> {
        if let Some(mapped) = self.mapped.get(&(hash, listing)) {
            return Ok(mapped.payload);
        }
        let snapshot = self.snapshots.load(hash).await.map_err(PayloadError::Store)?;
        let snapshot = snapshot.ok_or(PayloadError::NotFound(hash))?;
        let unit = UnitChanged::from_json(snapshot.body.as_bytes())
            .map_err(|invalid| PayloadError::Unreadable { hash, reason: invalid.to_string() })?;
        Ok(self.map(kind, &unit, hash, listing))
    }
}
