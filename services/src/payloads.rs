//! Payloads: a unit snapshot mapped for one listing. Those that wait to be sent are kept, so that most are mapped once.

use std::sync::Arc;

use adapters::postgres::passes;
use adapters::units::{NotLoaded, SnapshotLoader, UnitStore};
use domain::channel::{ChannelKind, ListingPayload};
use domain::hash::SnapshotHash;
use domain::ids::{AccountId, ListingId};
use domain::listing::Link;
use domain::mapping;
use domain::unit::UnitChanged;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use serde_json::Value;

/// Bytes of payloads that are kept, about: those of some thousand listings that wait. Where more wait, it is those that waited first and
/// those that came last; the others are read and mapped again.
const KEPT_BYTES: u64 = 32 * 1024 * 1024;
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
    /// It shows the unit in an account that the listing does not take from.
    #[error("unit snapshot {0} is of an account that this listing takes nothing from: nothing of it is sent or shown")]
    Elsewhere(SnapshotHash),
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
            Self::NotFound(_) | Self::Elsewhere(_) | Self::Unreadable { .. } => false,
        }
    }
}

/// Maps snapshots.
pub struct Payloads {
    snapshots: SnapshotLoader,
    waiting: Cache<Address, Mapped, ByBytes>,
}

/// Which snapshot, for which listing.
type Address = (SnapshotHash, ListingId);

/// A payload, the account that its unit is of, and what it takes in memory, about.
#[derive(Clone)]
struct Mapped {
    payload: Arc<ListingPayload>,
    account: AccountId,
    bytes: u64,
}

impl Mapped {
    fn new(payload: Arc<ListingPayload>, account: AccountId) -> Self {
        let bytes = 512 + payload.sections.values().map(|section| bytes_of(&section.body)).sum::<u64>();
        Self { payload, account, bytes }
    }

    /// What nobody takes may be of an earlier link, which took from another account.
    fn of(self, hash: SnapshotHash, link: &Link) -> Result<Arc<ListingPayload>, PayloadError> {
        if link.takes_from(&self.account) { Ok(self.payload) } else { Err(PayloadError::Elsewhere(hash)) }
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
        f.debug_struct("Payloads").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Payloads {
    /// Payloads of the snapshots in `units`.
    pub fn new(units: UnitStore) -> Self {
        // What nobody takes, as another process has sent it, is never in the way of more than a half.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(KEPT_BYTES / USUAL_BYTES).unwrap_or(usize::MAX))
            .weight_capacity(KEPT_BYTES)
            .hot_allocation(0.5)
            .build()
            .expect("both capacities are set");
        let waiting = Cache::with_options(options, ByBytes, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { snapshots: SnapshotLoader::new(units), waiting }
    }

    /// Maps a unit that is at hand.
    pub fn map(
        &self,
        kind: ChannelKind,
        unit: &UnitChanged,
        hash: SnapshotHash,
        listing: ListingId,
    ) -> Arc<ListingPayload> {
        match self.waiting.get(&(hash, listing)) {
            Some(waiting) => waiting.payload,
            None => Arc::new(mapping::map(kind, unit, &listing)),
        }
    }

    /// Keeps a payload that waits to be sent, until it is taken.
    pub fn keep(&self, hash: SnapshotHash, listing: ListingId, account: &AccountId, payload: Arc<ListingPayload>) {
        self.waiting.insert((hash, listing), Mapped::new(payload, account.clone()));
    }

    /// The payload of a stored snapshot that is sent now to a listing, so that it waits no longer.
    ///
    /// # Errors
    /// As [`Self::of_snapshot`].
    pub async fn take(
        &self,
        kind: ChannelKind,
        hash: SnapshotHash,
        link: &Link,
    ) -> Result<Arc<ListingPayload>, PayloadError> {
        match self.waiting.remove(&(hash, link.listing_id)) {
            Some((_, waiting)) => waiting.of(hash, link),
            None => self.read(kind, hash, link).await,
        }
    }

    /// The payload of a stored snapshot, for a listing.
    ///
    /// # Errors
    /// No such snapshot, one of an account that the listing does not take from, one that this build cannot read, or a store
    /// that fails.
    pub async fn of_snapshot(
        &self,
        kind: ChannelKind,
        hash: SnapshotHash,
        link: &Link,
    ) -> Result<Arc<ListingPayload>, PayloadError> {
        match self.waiting.get(&(hash, link.listing_id)) {
            Some(waiting) => waiting.of(hash, link),
            None => self.read(kind, hash, link).await,
        }
    }

    async fn read(
        &self,
        kind: ChannelKind,
        hash: SnapshotHash,
        link: &Link,
    ) -> Result<Arc<ListingPayload>, PayloadError> {
        let snapshot = self.snapshots.load(hash).await.map_err(PayloadError::Store)?;
        let snapshot = snapshot.ok_or(PayloadError::NotFound(hash))?;
        if !link.takes_from(&snapshot.account_id) {
            return Err(PayloadError::Elsewhere(hash));
        }
        let unit = UnitChanged::from_json(snapshot.body.as_bytes())
            .map_err(|invalid| PayloadError::Unreadable { hash, reason: invalid.to_string() })?;
        Ok(Arc::new(mapping::map(kind, &unit, &link.listing_id)))
    }
}

#[cfg(test)]
mod tests {
    use domain::channel::{Section, SectionPayload};
    use domain::ids::TargetId;
    use sqlx::postgres::PgPoolOptions;
    use uuid::Uuid;

    use super::*;

    /// Nothing can be read there.
    fn payloads() -> Payloads {
        let nowhere = PgPoolOptions::new().connect_lazy("postgres://nobody@localhost/nothing?host=/nowhere");
        Payloads::new(UnitStore::new(nowhere.expect("an address")))
    }

    fn account() -> AccountId {
        "bali".parse().expect("a name")
    }

    fn link(listing_id: ListingId) -> Link {
        Link {
            listing_id,
            org_id: "sunstay".parse().expect("a name"),
            account_id: account(),
            unit_id: "villa-0042".parse().expect("a name"),
            target_id: TargetId(Uuid::nil()),
            generation: 1,
            from_account_id: None,
        }
    }

    /// How many of these are kept; they are taken.
    async fn kept(payloads: &Payloads, waiting: &[(SnapshotHash, ListingId)]) -> usize {
        let mut kept = 0;
        for (hash, listing) in waiting {
            if payloads.waiting.peek(&(*hash, *listing)).is_some() {
                assert!(payloads.take(ChannelKind::Hostaway, *hash, &link(*listing)).await.is_ok());
                kept += 1;
            }
        }
        kept
    }

    #[tokio::test]
    async fn of_more_than_can_be_kept_the_first_and_the_last_are_and_each_is_taken_once() {
        let payloads = payloads();
        let body = Value::String("a villa by the sea ".repeat(3_000));
        let content = SectionPayload::new(body);
        let payload = ListingPayload { sections: [(Section::Content, content)].into(), ..ListingPayload::default() };
        let payload = Arc::new(payload);
        let room = usize::try_from(KEPT_BYTES / Mapped::new(payload.clone(), account()).bytes).expect("some");
        let waiting: Vec<_> =
            (0..3 * room).map(|n| (SnapshotHash::of_json(&Value::from(n)), ListingId(Uuid::now_v7()))).collect();
        for (hash, listing) in &waiting {
            payloads.keep(*hash, *listing, &account(), payload.clone());
        }
        let (first, others) = waiting.split_at(room);
        let (between, last) = others.split_at(room);
        let counts = (kept(&payloads, first).await, kept(&payloads, between).await, kept(&payloads, last).await);
        assert!(counts.0 > room / 4 && counts.2 > room / 4 && counts.1 < room / 4, "{counts:?} of {room}");
        assert_eq!(kept(&payloads, &waiting).await, 0);
    }

    #[tokio::test]
    async fn what_was_taken_makes_room() {
        let payloads = payloads();
        let payload = Arc::new(ListingPayload::default());
        for n in 0..100_000_u64 {
            let (hash, listing) = (SnapshotHash::of_json(&Value::from(n)), ListingId(Uuid::nil()));
            payloads.keep(hash, listing, &account(), payload.clone());
            assert!(payloads.take(ChannelKind::Hostaway, hash, &link(listing)).await.is_ok(), "the {n}th");
        }
    }

    #[tokio::test]
    async fn what_was_kept_for_a_link_that_took_from_another_account_is_not_given() {
        let payloads = payloads();
        let (hash, listing) = (SnapshotHash::of_json(&Value::Null), ListingId(Uuid::nil()));
        let from = Link { from_account_id: "lombok".parse().ok(), ..link(listing) };
        payloads.keep(hash, listing, &"lombok".parse().expect("a name"), Arc::new(ListingPayload::default()));
        let given = payloads.of_snapshot(ChannelKind::Hostaway, hash, &link(listing)).await;
        assert!(matches!(given, Err(PayloadError::Elsewhere(other)) if other == hash), "{given:?}");
        assert!(payloads.of_snapshot(ChannelKind::Hostaway, hash, &from).await.is_ok());
        let taken = payloads.take(ChannelKind::Hostaway, hash, &link(listing)).await;
        assert!(matches!(taken, Err(PayloadError::Elsewhere(_))), "{taken:?}");
    }
}
