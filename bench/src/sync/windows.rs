//! `bench sync --windows`: many targets under a limit, each with more changes than a window takes. The windows alone say
//! when the last call may go out; how much later it does is what the service costs.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use domain::window::RateLimit;
use serde_json::{Value, json};

use crate::arrivals::worst_window;
use crate::drain::{Drained, cpu_ms_by_part, peak_private_mb};
use crate::figures::{Spread, machine, rounded};
use crate::ours::create_limited;
use crate::plot::{Bars, Group};
use crate::say;
use crate::side::{Ours, Revisions, Side as _};
use crate::units::Messages;
use crate::world::World;

/// How many targets, under which limit.
#[derive(Debug, Clone, Args)]
pub struct WindowsOptions {
    /// Measure many targets with windows on instead, ours alone
    #[arg(long)]
    pub windows: bool,

    /// Targets with windows on
    #[arg(long, default_value_t = 1_000)]
    pub windows_targets: usize,

    /// The limit of each of them
    #[arg(long, default_value = "12/10s")]
    pub windows_limit: RateLimit,

    /// Changes for each of them
    #[arg(long, default_value_t = 24)]
    pub windows_changes: usize,
}

impl WindowsOptions {
    fn changes(&self) -> usize {
        self.windows_targets * self.windows_changes
    }

    /// When the last call of a target may go out, if every slot comes back exactly a window after its call.
    fn ideal(&self) -> Duration {
        let requests = usize::try_from(self.windows_limit.requests()).unwrap_or(usize::MAX);
        let windows = u32::try_from(self.windows_changes.div_ceil(requests).saturating_sub(1)).unwrap_or(u32::MAX);
        Duration::from_millis(self.windows_limit.window_ms().into()) * windows
    }
}

/// Measures and gives the figures.
pub async fn run(options: &WindowsOptions, repeat: usize, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let messages = Messages::new()?;
    create_limited(&world, &messages, options.changes(), options.windows_targets, options.windows_limit).await?;
    let all: Vec<usize> = (0..options.changes()).collect();
    let mut revisions = Revisions::new();
    let (mut runs, mut worst) = (Vec::new(), 0);
    for round in 1..=repeat {
        let side = Ours::start(&world, &messages).await?;
        // One for each target: the new limits are seen.
        side.warm(&world, &all[..options.windows_targets], revisions.next()).await?;
        tokio::time::sleep(Duration::from_millis(u64::from(options.windows_limit.rest_ms()) + 500)).await;
        let drained = side.drain(&world, &all, revisions.next()).await?;
        side.stop().await?;
        worst = worst.max(fullest(&world, options).await?);
        let cpu = rounded(drained.cpu_ms(options.changes()));
        say(&format!("{round}: all out after {:.2} s, worst window {worst}, {cpu} ms CPU each", drained.seconds));
        runs.push(drained);
    }
    world.close().await?;
    figures(options, &runs, worst, folder)
}

/// The fullest window of any target. All share a token, so the listing tells whose a call is.
async fn fullest(world: &World, options: &WindowsOptions) -> anyhow::Result<usize> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT external_id, target_id::text FROM channel_listings WHERE external_id IS NOT NULL")
            .fetch_all(&world.pool)
            .await?;
    let targets: HashMap<String, String> = rows.into_iter().collect();
    let mut times = BTreeMap::<&str, Vec<u64>>::new();
    for arrival in world.channel.arrivals().await? {
        if let Some(target) = targets.get(&arrival.listing.to_string()) {
            times.entry(target).or_default().push(arrival.at_us);
        }
    }
    let window_us = u64::from(options.windows_limit.window_ms()) * 1_000;
    Ok(times.values().map(|times| worst_window(times, window_us)).max().unwrap_or(0))
}

fn figures(options: &WindowsOptions, runs: &[Drained], worst: usize, folder: Option<&Path>) -> anyhow::Result<Value> {
    let ideal = options.ideal().as_secs_f64();
    let seconds = Spread::of(runs.iter().map(|run| run.seconds));
    let drained: Vec<&Drained> = runs.iter().collect();
    let figures = json!({
        "bench": "sync-windows", "targets": options.windows_targets, "limit": options.windows_limit.to_string(),
        "changes": options.changes(), "runs": runs.len(), "machine": machine(), "seconds": seconds,
        "ideal_seconds": rounded(ideal), "ratio_ideal": rounded(seconds.median / ideal), "worst_window": worst,
        "cpu_ms_per_sync": Spread::of(runs.iter().map(|run| run.cpu_ms(options.changes()))),
        "cpu_ms_by_part": cpu_ms_by_part(&drained, options.changes()), "peak_private_mb": peak_private_mb(&drained),
    });
    let only = Spread::exactly(ideal);
    let groups = [Group { name: "until all are out".to_owned(), bars: vec![seconds, only] }];
    let title =
        format!("{} changes on {} targets under {}", options.changes(), options.windows_targets, options.windows_limit);
    Bars { title: &title, unit: "seconds", sides: &["ours", "what the windows allow"], groups: &groups }.save(
        folder,
        "sync-windows",
        &figures,
    )?;
    Ok(figures)
}
