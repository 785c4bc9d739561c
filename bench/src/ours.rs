//! Our side: the service as a process, and what comes before it: units, links, changes.

use std::path::PathBuf;
use std::process::Command;

use adapters::nats::batch::BatchMessage;
use adapters::nats::topology::StreamKind;
use anyhow::{Context as _, ensure};
use domain::ids::{TargetId, UnitId};
use domain::metadata::Actor;
use domain::window::RateLimit;
use futures::{StreamExt as _, TryStreamExt as _};
use services::relay::{POSITION, position_header};

use crate::arrivals::Arrival;
use crate::cost::Part;
use crate::process::{Patience, Process};
use crate::say;
use crate::tools;
use crate::units::{self, Messages};
use crate::world::{SHARED_ACCOUNT, World};

/// Links that are under way at the same time.
const CONCURRENT: usize = 512;
/// Changes that are published together.
const BATCH: usize = 500;
/// What is queued or not yet in the read models. One statement, so one snapshot: asked one after the other, the queue is seen before
/// what was asked for is in it, and the read models after.
const LEFT: &str = "
SELECT (SELECT count(*) FROM sync_queue) + (SELECT coalesce(max(position), 0) FROM events)
     - (SELECT coalesce(min(position), 0) FROM projection_checkpoints)";

/// Listings that a dispatcher has in hand: the end of a try is settled after its event is in the journal.
const IN_HAND: &str = "SELECT count(*) FROM dispatch_leases WHERE NOT done AND lease_until > clock_timestamp()";
/// The last event that AUDIT tells of, where every sync was accepted.
const LAST_TOLD: &str = "SELECT coalesce(max(position), 0) FROM events WHERE event_type = 'SyncAccepted'";

/// The service.
pub struct Service {
    /// Its process: all roles in one, if nothing else was asked for.
    pub process: Process,
}

impl Service {
    /// Starts it with its defaults.
    pub fn start(world: &World) -> anyhow::Result<Self> {
        Self::start_with(world, "service", &[])
    }

    /// Starts it under a name with these arguments.
    pub fn start_with(world: &World, name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(tools::program("distribution")?);
        command.arg("serve").args(arguments).envs(world.environment()?);
        Ok(Self { process: Process::start(command, &world.path(&format!("{name}.log")))? })
    }

    /// What a sync of ours is paid by.
    pub async fn parts(&self, world: &World) -> anyhow::Result<Vec<Part>> {
        let nats = tools::pid_in(&PathBuf::from(tools::variable("BENCH_NATS_PID_FILE")?))?;
        let service = Part { name: "service", pid: self.process.id() };
        Ok(vec![service, world.postgres_part().await?, Part { name: "nats", pid: nats }])
    }

    /// Waits until every sync has ended and the read models know it.
    pub async fn drained(&self, world: &World) -> anyhow::Result<()> {
        let nothing_left = async || Ok(world.count(LEFT).await? == 0);
        self.process.until(Patience::ROWS, "done with its queue", nothing_left).await
    }

    /// Waits until nothing of what was asked for is under way any more, as far as that can be asked, where every sync was
    /// accepted: changes are answered for, tries settled, and read models and both streams know all of it.
    pub async fn settled(&self, world: &World) -> anyhow::Result<()> {
        self.drained(world).await?;
        self.caught_up(world).await?;
        let at_rest = async || {
            let intake = world.nats.intake_state().await?;
            let unanswered = intake.map_or(0, |intake| intake.waiting + intake.unanswered);
            let untold = relayed(world, StreamKind::Audit).await? < world.count(LAST_TOLD).await?;
            Ok(unanswered == 0 && !untold && world.count(IN_HAND).await? == 0)
        };
        self.process.until(Patience::ROWS, "at rest", at_rest).await
    }

    /// Waits until NATS and the read models have the whole journal, whatever is queued.
    pub async fn caught_up(&self, world: &World) -> anyhow::Result<()> {
        let both =
            async || Ok(relayed(world, StreamKind::Channels).await? >= world.head().await? && projected(world).await?);
        self.process.until(Patience::ROWS, "up to date", both).await
    }
}

/// Whether the read models show the whole journal.
async fn projected(world: &World) -> anyhow::Result<bool> {
    let behind = world.count("SELECT coalesce(min(position), 0) FROM projection_checkpoints").await?;
    Ok(behind >= world.head().await?)
}

/// Up to which position a stream has the journal's events.
pub async fn relayed(world: &World, kind: StreamKind) -> anyhow::Result<i64> {
    let stream = world.nats.stream(kind).await?;
    let last = stream.cached_info().state.last_sequence;
    if last == 0 {
        return Ok(0);
    }
    let message = stream.get_raw_message(last).await?;
    Ok(position_header(Some(&message.headers), POSITION).unwrap_or_default().0)
}

/// Publishes a revision of these units, in atomic batches, as the peer puts its jobs in by `addBulk`.
pub async fn publish(world: &World, messages: &Messages, indices: &[usize], revision: u64) -> anyhow::Result<()> {
    for batch in indices.chunks(BATCH) {
        let batch: anyhow::Result<Vec<BatchMessage>> =
            batch.iter().map(|index| message(world, messages, *index, revision)).collect();
        world.nats.publish_batch(None, batch?).await?;
    }
    Ok(())
}

/// Publishes a revision of one unit.
pub async fn publish_one(world: &World, messages: &Messages, index: usize, revision: u64) -> anyhow::Result<()> {
    let BatchMessage { subject, payload, .. } = message(world, messages, index, revision)?;
    world.nats.jetstream.publish(subject, payload).await?.await?;
    Ok(())
}

fn message(world: &World, messages: &Messages, index: usize, revision: u64) -> anyhow::Result<BatchMessage> {
    let subject = world.nats.prefix.unit_changed(&units::ORG.parse()?, &units::name(index).parse()?);
    let payload = serde_json::to_vec(&messages.unit(index, revision))?.into();
    Ok(BatchMessage::new(subject, payload))
}

/// Puts units on targets and waits until the channel has each of them as a listing.
pub async fn create_listings(
    world: &World,
    service: &Service,
    messages: &Messages,
    places: &[(usize, TargetId)],
) -> anyhow::Result<()> {
    let indices: Vec<usize> = places.iter().map(|(index, _)| *index).collect();
    publish(world, messages, &indices, 1).await?;
    let wanted = i64::try_from(places.len())?;
    let taken_in = async || Ok(world.count("SELECT count(*) FROM units").await? >= wanted);
    service.process.until(Patience::ROWS, "done with taking the units in", taken_in).await?;
    let link = |(index, target): (usize, TargetId)| async move {
        let unit = UnitId::new(units::name(index))?;
        world
            .syncing
            .link(target, unit, services::linking::AtChannel::Kept, Actor::cli("bench"))
            .await
            .context("a unit could not be linked")
    };
    let linked: Vec<_> =
        futures::stream::iter(places.iter().copied()).map(link).buffer_unordered(CONCURRENT).try_collect().await?;
    service.drained(world).await?;
    let created = world.count("SELECT count(*) FROM channel_listings WHERE external_id IS NOT NULL").await?;
    ensure!(created >= i64::try_from(linked.len())?, "only {created} of {} listings were created", linked.len());
    Ok(())
}

/// Makes so many targets with one limit and spreads so many listings over them.
pub async fn create_spread(
    world: &World,
    messages: &Messages,
    listings: usize,
    targets: usize,
    limit: RateLimit,
) -> anyhow::Result<Vec<TargetId>> {
    say(&format!("creating {listings} listings on {targets} targets"));
    let targets = world.targets(targets, SHARED_ACCOUNT, limit).await?;
    spread_over(world, messages, listings, &targets).await?;
    Ok(targets)
}

/// Spreads so many listings over these targets.
pub async fn spread_over(
    world: &World,
    messages: &Messages,
    listings: usize,
    targets: &[TargetId],
) -> anyhow::Result<()> {
    let places: Vec<_> = (0..listings).map(|index| (index, targets[index % targets.len()])).collect();
    let service = Service::start(world)?;
    create_listings(world, &service, messages, &places).await?;
    service.process.stop().await
}

/// Makes targets with listings, and only then puts them under this limit: with it the creation would take its time.
pub async fn create_limited(
    world: &World,
    messages: &Messages,
    listings: usize,
    targets: usize,
    limit: RateLimit,
) -> anyhow::Result<()> {
    let targets = create_spread(world, messages, listings, targets, seeding()?).await?;
    limit_all(world, targets, limit).await
}

/// Puts all of these targets under a limit.
pub async fn limit_all(world: &World, targets: Vec<TargetId>, limit: RateLimit) -> anyhow::Result<()> {
    let limited = futures::stream::iter(targets).map(|target| world.limit(target, limit));
    limited.buffer_unordered(CONCURRENT).try_collect().await
}

/// A limit that no seeding fills.
pub fn seeding() -> anyhow::Result<RateLimit> {
    Ok(RateLimit::new(200, 100)?)
}

/// Which unit each listing at the channel shows.
pub async fn units_by_listing(world: &World) -> anyhow::Result<std::collections::HashMap<u64, String>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT external_id, unit_id FROM channel_listings WHERE external_id IS NOT NULL")
            .fetch_all(&world.pool)
            .await?;
    rows.into_iter().map(|(listing, unit)| Ok((listing.parse()?, unit))).collect()
}

/// When the first write of each unit arrived.
pub async fn first_writes(
    world: &World,
    arrivals: &[Arrival],
) -> anyhow::Result<std::collections::HashMap<String, u64>> {
    let units = units_by_listing(world).await?;
    let mut first = std::collections::HashMap::new();
    for arrival in arrivals.iter().filter(|arrival| arrival.kind == 'w') {
        if let Some(unit) = units.get(&arrival.listing) {
            first.entry(unit.clone()).or_insert(arrival.at_us);
        }
    }
    Ok(first)
}
