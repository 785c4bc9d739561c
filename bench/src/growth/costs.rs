//! One of each: a claim as the dispatcher makes it, a group of appends, a projected batch, a page of a listing's history
//! and one of the audit.

use std::time::{Duration, Instant};

use adapters::dispatch::{Claims, DispatchStore, Lane, RoundRequest, Slot, SlotHold};
use adapters::event_store::{Journal, JournalContext, JournalOptions, PgEventLog};
use anyhow::{anyhow, ensure};
use cqrs_es::{Aggregate as _, AggregateContext as _, EventStore as _};
use domain::journal::EventLog as _;
use domain::listing::{ChannelListing, ListingEvent, Pending, SyncRequest};
use domain::recorded::Position;
use futures::{StreamExt as _, TryStreamExt as _};
use projections::Runner;
use uuid::Uuid;

use crate::seed::{metadata_of, runner};
use crate::world::World;

/// What a dispatcher asks for with nothing under way: its defaults.
const LANES: i64 = 500;
const PER_LANE: i64 = 64;
const CAPACITY: i64 = 256;
/// Changes that are appended together, and applied together.
const GROUP: usize = 256;

/// What is measured, over one world.
pub struct Costs<'a> {
    world: &'a World,
    store: DispatchStore,
    journal: Journal,
    log: PgEventLog,
    runner: Runner,
    /// Some listings that are queued.
    queued: Vec<Uuid>,
}

/// The dispatchers' tables, seen by one of them.
pub fn store(world: &World) -> DispatchStore {
    DispatchStore::new(world.pool.clone(), Uuid::now_v7())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

impl<'a> Costs<'a> {
    pub async fn new(world: &'a World) -> anyhow::Result<Self> {
        let queued = sqlx::query_scalar("SELECT listing_id FROM sync_queue ORDER BY md5(listing_id::text) LIMIT 20000")
            .fetch_all(&world.pool)
            .await?;
        Ok(Self {
            world,
            store: store(world),
            journal: Journal::new(world.pool.clone(), JournalOptions::default()),
            log: PgEventLog::new(world.pool.clone()),
            runner: runner(world),
            queued,
        })
    }

    /// One round: wakes taken, the due lanes locked and looked at, leases and slots written, the next wake planned. Undone
    /// afterwards, which is not measured.
    pub async fn claim(&self) -> anyhow::Result<f64> {
        let request =
            RoundRequest { waiting: Vec::new(), due: true, lanes: LANES, per_lane: PER_LANE, capacity: CAPACITY };
        let started = Instant::now();
        self.store.take_wakes(0).await?;
        let round = self.store.open_round(&request).await?;
        let claims = claims(&round.lanes);
        let given = claims.leases.len();
        round.write(&claims, Duration::from_secs(25), Duration::from_secs(60)).await?;
        let spent = milliseconds(started);
        ensure!(given > 0, "a round found no work");
        for undo in [
            "UPDATE dispatch_leases SET done = true, ordinal = 0, lease_until = '-infinity' WHERE NOT done",
            "UPDATE rate_slots SET free_at = '-infinity', hold_id = NULL WHERE free_at > '-infinity'",
            "UPDATE dispatch_lanes SET wake_at = '-infinity'",
        ] {
            sqlx::query(undo).execute(&self.world.pool).await?;
        }
        Ok(spent)
    }

    /// Changes of queued listings, appended at the same time, and their batch applied to every read model.
    pub async fn append_and_project(&self) -> anyhow::Result<(f64, f64)> {
        let previous = Position(self.world.head().await?);
        let start = rand::random_range(0..self.queued.len());
        let group = self.queued.iter().cycle().skip(start).take(GROUP.min(self.queued.len()));
        let listings: Vec<Uuid> = group.copied().collect();
        let load = |listing: Uuid| async move {
            self.journal.load_aggregate(&listing.to_string()).await.map_err(|error| anyhow!("{error}"))
        };
        let mut contexts: Vec<JournalContext<ChannelListing>> =
            futures::stream::iter(listings).map(load).buffer_unordered(GROUP).try_collect().await?;
        let commits = contexts.drain(..).map(|mut context| {
            let (event, metadata) = changed(context.aggregate())?;
            Ok((event, context, metadata))
        });
        let commits = commits.collect::<anyhow::Result<Vec<_>>>()?;
        let started = Instant::now();
        let commits = commits.into_iter().map(|(event, context, metadata)| {
            let journal = self.journal.clone();
            async move { journal.commit(vec![event], context, metadata).await }
        });
        for end in futures::future::join_all(commits).await {
            end.map_err(|error| anyhow!("{error}"))?;
        }
        let append = milliseconds(started);
        let head = self.log.settled_position().await?;
        let events = self.log.read(None, previous, head, GROUP).await?;
        let started = Instant::now();
        self.runner.apply_batch(&events, previous).await?;
        Ok((append, milliseconds(started)))
    }

    /// The newest fifty events of a listing, as `listing history` shows them.
    pub async fn history(&self) -> anyhow::Result<f64> {
        let listing = self.queued[rand::random_range(0..self.queued.len())].to_string();
        let started = Instant::now();
        let page = self.log.newest_of(ChannelListing::TYPE, &listing, 50).await?;
        ensure!(!page.is_empty(), "a listing has no history");
        Ok(milliseconds(started))
    }

    /// The newest fifty syncs of a target: a page of the audit.
    pub async fn audit(&self) -> anyhow::Result<f64> {
        let listing = self.queued[rand::random_range(0..self.queued.len())];
        let target: Uuid = sqlx::query_scalar("SELECT target_id FROM sync_queue WHERE listing_id = $1")
            .bind(listing)
            .fetch_one(&self.world.pool)
            .await?;
        let started = Instant::now();
        let page = sqlx::query("SELECT * FROM outbound_audit WHERE target_id = $1 ORDER BY position DESC LIMIT 50")
            .bind(target)
            .fetch_all(&self.world.pool)
            .await?;
        ensure!(!page.is_empty(), "a target has no audit");
        Ok(milliseconds(started))
    }
}

/// Everything that the lanes have to give, up to what a dispatcher takes on: one slot for each listing.
fn claims(lanes: &[Lane]) -> Claims {
    let mut claims = Claims::default();
    for lane in lanes {
        for (candidate, number) in lane.candidates.iter().zip(&lane.free) {
            if claims.leases.len() >= usize::try_from(CAPACITY).unwrap_or(usize::MAX) {
                return claims;
            }
            let slot = Slot { scope: format!("target:{}", lane.target_id), number: *number };
            let hold = SlotHold { hold_id: Uuid::now_v7(), target_id: lane.target_id, slots: vec![slot] };
            claims.holds.push(hold);
            claims.leases.push(candidate.lease);
        }
    }
    claims
}

/// What an aggregate with a pending sync says to a newer revision of its unit.
fn changed(listing: &ChannelListing) -> anyhow::Result<(ListingEvent, std::collections::HashMap<String, String>)> {
    let (Some(link), Some(pending)) = (listing.link(), listing.pending()) else {
        return Err(anyhow!("a queued listing has no pending sync"));
    };
    let Pending { sync_id, ordinal, snapshot, revision, sections, origin, .. } = pending.clone();
    let request = SyncRequest {
        sync_id: domain::ids::SyncId(Uuid::now_v7()),
        ordinal: ordinal + 1,
        idempotency_key: domain::hash::IdempotencyKey::of_bytes(Uuid::now_v7().as_bytes()),
        cause: domain::listing::Cause::UnitChanged,
        snapshot,
        revision: revision + 1,
        sections,
        needs: vec![domain::channel::Section::Content],
        rejected: Vec::new(),
        origin,
    };
    let metadata = metadata_of(link.target_id, link.unit_id.clone())?;
    Ok((ListingEvent::SyncRequested { request, supersedes: Some(sync_id) }, metadata.to_map()))
}
