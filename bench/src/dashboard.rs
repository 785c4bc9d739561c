//! `bench dashboard`: how fast the first view is beside a large database, and what viewers with live pages cost the syncs.

mod seeded;
mod viewers;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};

use crate::figures::{Spread, float, machine, percentile, rounded, sorted};
use crate::ours::create_spread;
use crate::plot::{Bars, Group};
use crate::say;
use crate::side::{Ours, Revisions, Side as _};
use crate::units::Messages;
use crate::world::World;
use viewers::{Viewers, serve};

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub struct DashboardOptions {
    /// Targets that are there
    #[arg(long, default_value_t = 10_000)]
    targets: i64,

    /// Rows of the audit that are there
    #[arg(long, default_value_t = 1_000_000)]
    rows: i64,

    /// First views that are timed
    #[arg(long, default_value_t = 200)]
    views: usize,

    /// Viewers with a live page
    #[arg(long, default_value_t = 200)]
    viewers: usize,

    /// Changes in each run
    #[arg(long, short = 'n', default_value_t = 10_000)]
    changes: usize,

    /// Runs without and with viewers
    #[arg(long, default_value_t = 3)]
    repeat: usize,
}

/// Measures and gives the figures.
pub async fn run(options: &DashboardOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let messages = Messages::new()?;
    create_spread(&world, &messages, options.changes, 100.min(options.changes), crate::ours::seeding()?).await?;
    say(&format!("seeding {} targets and {} rows of the audit", options.targets, options.rows));
    seeded::put(&world, options.targets, options.rows).await?;
    let first = first_views(options, &world).await?;
    let (mut without, mut with, mut parts) = (Vec::new(), Vec::new(), 0);
    let mut revisions = Revisions::new();
    for round in 1..=options.repeat {
        without.push(one_run(options, &world, &messages, &mut revisions, 0).await?.0);
        let (rate, seen) = one_run(options, &world, &messages, &mut revisions, options.viewers).await?;
        with.push(rate);
        parts += seen;
        say(&format!("round {round}: {:.0} syncs/s alone, {rate:.0} with viewers", without[round - 1]));
    }
    world.close().await?;
    ensure!(options.viewers == 0 || parts > 0, "the viewers saw nothing change");
    let (alone, watched) = (Spread::of(without), Spread::of(with));
    let figures = json!({
        "bench": "dashboard", "changes": options.changes, "runs": options.repeat, "machine": machine(),
        "targets": options.targets,
        "audit_rows": options.rows,
        "first_view_p50_ms": rounded(percentile(&first, 0.5)),
        "first_view_p99_ms": rounded(percentile(&first, 0.99)),
        "viewers": options.viewers,
        "parts_seen": parts,
        "syncs_per_s": alone,
        "syncs_per_s_with_viewers": watched,
        "ratio": rounded(watched.median / alone.median),
    });
    let groups = [Group { name: "syncs".to_owned(), bars: vec![alone, watched] }];
    let title = format!("Throughput without viewers, and with {} of live pages", options.viewers);
    Bars { title: &title, unit: "syncs/s", sides: &["none", "viewers"], groups: &groups }.save(
        folder,
        "dashboard",
        &figures,
    )?;
    Ok(figures)
}

/// The overview, again and again, by one who is signed in; in milliseconds, sorted.
async fn first_views(options: &DashboardOptions, world: &World) -> anyhow::Result<Vec<f64>> {
    let (service, session) = serve(world, "views").await?;
    let mut times = Vec::new();
    for view in 0..=options.views {
        let started = Instant::now();
        let page = session.get("/").await?;
        ensure!(page.contains("Latest syncs"), "that is no overview: {page}");
        // The first one opens connections.
        if view > 0 {
            times.push(started.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    service.process.stop().await?;
    Ok(sorted(&times))
}

/// One run beside so many viewers: syncs a second, and the parts that all viewers saw.
async fn one_run(
    options: &DashboardOptions,
    world: &World,
    messages: &Messages,
    revisions: &mut Revisions,
    viewers: usize,
) -> anyhow::Result<(f64, u64)> {
    let (service, session) = serve(world, "service").await?;
    let side = Ours::with(service, messages);
    let all: Vec<usize> = (0..options.changes).collect();
    side.warm(world, &all, revisions.next()).await?;
    let looking = Viewers::open(world, &session, viewers).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let drained = side.drain(world, &all, revisions.next()).await?;
    let seen = looking.close();
    side.stop().await?;
    Ok((float(options.changes) / drained.seconds, seen))
}
