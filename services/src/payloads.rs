//! Payloads: a unit snapshot mapped for one listing. Those that wait to be sent are kept, so that most are mapped once. A payload takes
//! many times the memory of its unit's text, and a text may have a megabyte: how many large ones are at hand at the same time is bounded.

mod room;
mod weight;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use adapters::postgres::passes;
use adapters::units::{Found, NotLoaded, SnapshotLoader, UnitStore};
use domain::channel::{ChannelKind, ListingPayload};
use domain::hash::SnapshotHash;
use domain::ids::{AccountId, ListingId};
use domain::listing::Link;
use domain::mapping;
use domain::unit::UnitChanged;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::sync::Semaphore;

use room::{Room, Share};
use weight::bytes_of;

/// Bytes of payloads that are kept, about: those of some thousand listings that wait. Where more wait, it is those that waited first and
/// those that came last; the others are read and mapped again.
const KEPT_BYTES: u64 = 48 * 1024 * 1024;
/// The payload of a unit without a calendar, about; one of a year's calendar takes ten times as much.
const ESTIMATED_PAYLOAD: u64 = 12 * 1024;
/// What all that are sent at the same time may take, about, beside usual ones. An answer of the channel may take as much again.
const SENT_BYTES: u32 = 96 * 1024 * 1024;
/// The same of those whose requests are being written, to be kept then.
const ASKED_BYTES: u32 = 32 * 1024 * 1024;
/// The longest wait for room: shorter than a slot may wait for its call.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a payload takes for each byte of its unit's text, to begin with: of photos seven to ten, of nights up to fourteen.
const FOR_EACH_BYTE: usize = 12;
/// Large snapshots that are read at the same time.
const READ: usize = 2;

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
    units: UnitStore,
    snapshots: SnapshotLoader,
    reading: Semaphore,
    sent: Room,
    asked: Room,
    /// None where nobody takes them.
    waiting: Option<Cache<Address, Mapped, ByBytes>>,
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

/// A payload that is held until its request is written.
pub struct Held {
    mapped: Mapped,
    _share: Share,
}

/// A payload that is being sent.
pub struct UnderWay {
    payload: Arc<ListingPayload>,
    _share: Share,
}

impl Deref for UnderWay {
    type Target = ListingPayload;

    fn deref(&self) -> &ListingPayload {
        &self.payload
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Address, Mapped> for ByBytes {
    fn weight(&self, _: &Address, mapped: &Mapped) -> u64 {
        mapped.bytes
    }
}

impl std::fmt::Debug for Payloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = self.waiting.as_ref().map(Cache::len);
        f.debug_struct("Payloads").field("waiting", &waiting).finish_non_exhaustive()
    }
}

impl Payloads {
    /// Payloads of the snapshots in `units`. None is kept: in this process nobody sends them.
    pub fn new(units: UnitStore) -> Self {
        Self {
            snapshots: SnapshotLoader::new(units.clone()),
            units,
            reading: Semaphore::new(READ),
            sent: Room::of(SENT_BYTES),
            asked: Room::of(ASKED_BYTES),
            waiting: None,
        }
    }

    /// The same where a dispatcher sends them: those that wait are kept.
    pub fn keeping(units: UnitStore) -> Self {
        // What nobody takes, as another process has sent it, is never in the way of more than a half.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(KEPT_BYTES / ESTIMATED_PAYLOAD).unwrap_or(usize::MAX))
            .weight_capacity(KEPT_BYTES)
            .hot_allocation(0.5)
            .build()
            .expect("both capacities are set");
        let waiting = Cache::with_options(options, ByBytes, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { waiting: Some(waiting), ..Self::new(units) }
    }

    fn kept(&self, hash: SnapshotHash, listing: ListingId) -> Option<Mapped> {
        self.waiting.as_ref()?.get(&(hash, listing))
    }

    /// Maps a unit that is at hand.
    pub fn map(
        &self,
        kind: ChannelKind,
        unit: &UnitChanged,
        hash: SnapshotHash,
        listing: ListingId,
    ) -> Arc<ListingPayload> {
        let kept = self.kept(hash, listing).map(|kept| kept.payload);
        kept.unwrap_or_else(|| Arc::new(mapping::map(kind, unit, &listing)))
    }

    /// Holds a payload that may be kept soon; not where nobody takes it, nor where too much is held already. It is read again then.
    /// `account` is the one that its unit is of.
    pub fn hold(&self, account: &AccountId, payload: Arc<ListingPayload>) -> Option<Held> {
        self.waiting.as_ref()?;
        let mapped = Mapped::new(payload, account.clone());
        let share = self.asked.at_once(mapped.bytes)?;
        Some(Held { mapped, _share: share })
    }

    /// Keeps a payload that waits to be sent, until it is taken.
    pub fn keep(&self, hash: SnapshotHash, listing: ListingId, held: Held) {
        if let Some(waiting) = &self.waiting {
            waiting.insert((hash, listing), held.mapped);
        }
    }

    /// The payload of a stored snapshot that is sent now to a listing, so that it waits no longer; `None` where other large ones take all the
    /// room that there is.
    ///
    /// # Errors
    /// As [`Self::of_snapshot`].
    pub async fn take(
        &self,
        kind: ChannelKind,
        hash: SnapshotHash,
        link: &Link,
    ) -> Result<Option<UnderWay>, PayloadError> {
        let address = (hash, link.listing_id);
        // While it waits for room, what is kept stays where it is: it may have to give way there.
        let kept = self.waiting.as_ref().and_then(|waiting| Some((waiting, waiting.peek(&address)?.bytes)));
        if let Some((waiting, bytes)) = kept {
            let Some(share) = self.sent.within(PATIENCE, bytes).await else { return Ok(None) };
            if let Some((_, kept)) = waiting.remove(&address) {
                return Ok(Some(UnderWay { payload: kept.of(hash, link)?, _share: share }));
            }
        }
        let found = self.find(hash).await?;
        let mut bytes = found.bytes().saturating_mul(FOR_EACH_BYTE) as u64;
        // Where it takes more than was to be expected, and more than there is, it waits once more, for just that: many that began each time
        // with the same guess could keep each other from all they need for ever.
        for _ in 0..2 {
            let Some(share) = self.sent.within(PATIENCE, bytes).await else { break };
            let mapped = self.read(kind, hash, link, found.clone()).await?;
            bytes = mapped.bytes;
            if let Some(share) = self.sent.fit(share, bytes) {
                return Ok(Some(UnderWay { payload: mapped.payload, _share: share }));
            }
        }
        Ok(None)
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
        match self.kept(hash, link.listing_id) {
            Some(kept) => kept.of(hash, link),
            None => Ok(self.read(kind, hash, link, self.find(hash).await?).await?.payload),
        }
    }

    async fn find(&self, hash: SnapshotHash) -> Result<Found, PayloadError> {
        let found = self.snapshots.load(hash).await.map_err(PayloadError::Store)?;
        found.ok_or(PayloadError::NotFound(hash))
    }

    async fn read(
        &self,
        kind: ChannelKind,
        hash: SnapshotHash,
        link: &Link,
        found: Found,
    ) -> Result<Mapped, PayloadError> {
        let closed = |_| PayloadError::Store(NotLoaded::Closed);
        let (snapshot, _turn) = match found {
            Found::Whole(snapshot) => (snapshot, None),
            Found::Large(_) => {
                let turn = self.reading.acquire().await.map_err(closed)?;
                let failed = |error| PayloadError::Store(NotLoaded::Failed(Arc::new(error)));
                let read = self.units.by_hashes(&[hash]).await.map_err(failed)?;
                (Arc::new(read.into_iter().next().ok_or(PayloadError::NotFound(hash))?), Some(turn))
            }
        };
        if !link.takes_from(&snapshot.account_id) {
            return Err(PayloadError::Elsewhere(hash));
        }
        let unit = UnitChanged::from_json(snapshot.body.as_bytes())
            .map_err(|invalid| PayloadError::Unreadable { hash, reason: invalid.to_string() })?;
        let payload = Arc::new(mapping::map(kind, &unit, &link.listing_id));
        Ok(Mapped::new(payload, snapshot.account_id.clone()))
    }
}

#[cfg(test)]
mod tests {
    use domain::channel::{Section, SectionPayload};
    use domain::ids::TargetId;
    use serde_json::Value;
    use sqlx::postgres::PgPoolOptions;
    use uuid::Uuid;

    use super::*;

    /// Nothing can be read there.
    fn nowhere() -> UnitStore {
        let nowhere = PgPoolOptions::new().connect_lazy("postgres://nobody@localhost/nothing?host=/nowhere");
        UnitStore::new(nowhere.expect("an address"))
    }

    fn payloads() -> Payloads {
        Payloads::keeping(nowhere())
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
            if payloads.waiting.as_ref().is_some_and(|waiting| waiting.peek(&(*hash, *listing)).is_some()) {
                let taken = payloads.take(ChannelKind::Hostaway, *hash, &link(*listing)).await;
                assert!(taken.is_ok_and(|taken| taken.is_some()));
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
            payloads.keep(*hash, *listing, payloads.hold(&account(), payload.clone()).expect("there is room"));
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
            payloads.keep(hash, listing, payloads.hold(&account(), payload.clone()).expect("there is room"));
            assert!(payloads.take(ChannelKind::Hostaway, hash, &link(listing)).await.is_ok(), "the {n}th");
        }
    }

    #[tokio::test]
    async fn where_nobody_sends_payloads_none_is_held() {
        assert!(Payloads::new(nowhere()).hold(&account(), Arc::default()).is_none());
        let many = Value::Array(vec![serde_json::json!({"url": "https://a.example/1"}); 10_000]);
        let content = SectionPayload::new(many);
        let payload = ListingPayload { sections: [(Section::Images, content)].into(), ..ListingPayload::default() };
        let (payloads, payload) = (payloads(), Arc::new(payload));
        let held: Vec<Held> = (0..100).map_while(|_| payloads.hold(&account(), payload.clone())).collect();
        assert!((1..100).contains(&held.len()), "those that are held are bounded: {}", held.len());
    }

    #[tokio::test]
    async fn what_was_kept_for_a_link_that_took_from_another_account_is_not_given() {
        let payloads = payloads();
        let (hash, listing) = (SnapshotHash::of_json(&Value::Null), ListingId(Uuid::nil()));
        let from = Link { from_account_id: "lombok".parse().ok(), ..link(listing) };
        let held = payloads.hold(&"lombok".parse().expect("a name"), Arc::default()).expect("there is room");
        payloads.keep(hash, listing, held);
        let given = payloads.of_snapshot(ChannelKind::Hostaway, hash, &link(listing)).await;
        assert!(matches!(given, Err(PayloadError::Elsewhere(other)) if other == hash), "{given:?}");
        assert!(payloads.of_snapshot(ChannelKind::Hostaway, hash, &from).await.is_ok());
        let taken = payloads.take(ChannelKind::Hostaway, hash, &link(listing)).await;
        assert!(taken.is_err_and(|error| matches!(error, PayloadError::Elsewhere(_))));
    }
}
