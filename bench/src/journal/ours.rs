//! Appends through the journal itself, and whole commands.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adapters::event_store::{Journal, JournalContext, JournalOptions};
use anyhow::anyhow;
use cqrs_es::EventStore as _;
use domain::ids::{ListingId, TargetId, UnitId};
use domain::listing::{ChannelListing, LinkListing, ListingCommand, ListingEvent};
use domain::metadata::{Actor, Metadata};
use futures::{StreamExt as _, TryStreamExt as _};
use services::commands::Commands;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::cost::{self, Part};
use crate::figures::float;
use crate::units::{ACCOUNT, ORG};
use crate::world::World;

/// Aggregates that are loaded, untimed, before their first event is appended.
const CHUNK: usize = 16_384;

/// The event that is appended, and inserted by pgbench.
pub fn event() -> ListingEvent {
    ListingEvent::ListingPaused { reason: "the roof is being mended until the end of the month".to_owned() }
}

/// Its metadata.
pub fn metadata() -> anyhow::Result<Metadata> {
    Ok(Metadata {
        org_id: ORG.parse()?,
        account_id: ACCOUNT.parse()?,
        target_id: TargetId(Uuid::now_v7()),
        unit_id: Some(UnitId::new("villa-000001")?),
        actor: Actor::service("bench"),
        correlation_id: Uuid::now_v7(),
        on_behalf_of: None,
        source: None,
        causation_id: None,
        traceparent: None,
    })
}

/// A journal as the service has it.
async fn journal(world: &World) -> anyhow::Result<Journal> {
    let pool = PgPoolOptions::new().max_connections(16).connect(&world.database_url()?).await?;
    Ok(Journal::new(pool, JournalOptions::default()))
}

/// How fast events were appended.
pub struct Appended {
    /// Events a second.
    pub per_s: f64,
    /// CPU of each part for an event, in microseconds.
    pub cpu_us: BTreeMap<&'static str, f64>,
}

/// First events of new aggregates: only the appending is timed.
pub async fn appends(world: &World, concurrent: usize, time: Duration) -> anyhow::Result<Appended> {
    let parts = [world.postgres_part().await?, Part { name: "journal", pid: std::process::id() }];
    let mut cpu: BTreeMap<&'static str, f64> = BTreeMap::new();
    let journal = journal(world).await?;
    let metadata = metadata()?.to_map();
    let chunk = if concurrent == 1 { CHUNK / 32 } else { CHUNK };
    let (mut spent, mut appended) = (Duration::ZERO, 0);
    while spent < time {
        let contexts: Vec<JournalContext<ChannelListing>> = futures::stream::iter(0..chunk)
            .map(|_| async { journal.load_aggregate(&Uuid::new_v4().to_string()).await.map_err(|e| anyhow!("{e}")) })
            .buffer_unordered(512)
            .try_collect()
            .await?;
        let append = |context| {
            let (journal, metadata) = (journal.clone(), metadata.clone());
            tokio::spawn(async move {
                journal.commit(vec![event()], context, metadata).await.map(drop).map_err(|e| anyhow!("{e}"))
            })
        };
        let appends = async {
            let started = Instant::now();
            let mut appends = futures::stream::iter(contexts).map(append).buffer_unordered(concurrent);
            while let Some(end) = appends.next().await {
                end??;
            }
            anyhow::Ok(started.elapsed())
        };
        let (cost, took) = cost::spent(&parts, appends).await?;
        spent += took;
        appended += chunk;
        for (name, seconds) in cost {
            *cpu.entry(name).or_default() += seconds;
        }
    }
    journal.pool().close().await;
    let of_each = |seconds: f64| seconds * 1_000_000.0 / float(appended);
    let cpu_us = cpu.into_iter().map(|(name, seconds)| (name, of_each(seconds))).collect();
    Ok(Appended { per_s: float(appended) / spent.as_secs_f64(), cpu_us })
}

/// Commands on listings that exist: load, decide, append.
pub async fn commands_per_s(world: &World, concurrent: usize, time: Duration) -> anyhow::Result<f64> {
    let commands = std::sync::Arc::new(Commands::new(journal(world).await?));
    let mut metadata = metadata()?;
    metadata.unit_id = None;
    let mut listings = Vec::new();
    for _ in 0..concurrent {
        let unit_id = UnitId::new(Uuid::new_v4().to_string())?;
        let listing = ListingId::of(metadata.target_id, &unit_id);
        let link = LinkListing {
            org_id: metadata.org_id.clone(),
            account_id: metadata.account_id.clone(),
            unit_id,
            target_id: metadata.target_id,
            unit_account_id: None,
            external_id: None,
            afresh: false,
        };
        commands.listing(listing, ListingCommand::Link(link), &metadata).await?;
        listings.push(listing);
    }
    let started = Instant::now();
    let workers = listings.into_iter().map(|listing| {
        let (commands, metadata) = (commands.clone(), metadata.clone());
        tokio::spawn(async move {
            let mut done = 0;
            while started.elapsed() < time {
                let pause = ListingCommand::Pause { reason: "the roof is being mended".to_owned() };
                let command = if done % 2 == 0 { pause } else { ListingCommand::Resume };
                commands.listing(listing, command, &metadata).await?;
                done += 1;
            }
            anyhow::Ok(done)
        })
    });
    let mut all = 0_usize;
    for done in futures::future::join_all(workers).await {
        all += done??;
    }
    let seconds = started.elapsed().as_secs_f64();
    commands.journal().pool().close().await;
    Ok(float(all) / seconds)
}
