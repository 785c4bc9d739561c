//! `bench window`: how full the fullest window is at the receiver, and how much of the budget is used, with 0, 50 and
//! 300 ms ± jitter at the channel, and across a kill -9. Both sides run at the same time, each against accounts of its
//! own: a limit of 12 in 10 s leaves the machine idle.

mod report;
mod sides;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use domain::window::RateLimit;
use serde_json::{Value, json};

use crate::ours::{Service, create_listings, seeding};
use crate::peer::Peer;
use crate::say;
use crate::units::Messages;
use crate::world::World;
use sides::{Ours, Side as _, Theirs};

/// How long, and under which limit.
#[derive(Debug, Clone, Args)]
pub struct WindowOptions {
    /// Seconds before the kill
    #[arg(long, default_value_t = 75)]
    pub seconds: u64,

    /// Seconds after it
    #[arg(long, default_value_t = 45)]
    pub after: u64,

    /// Targets at each latency
    #[arg(long, default_value_t = 3)]
    pub targets: u32,

    /// The limit of each target
    #[arg(long, default_value = "12/10s")]
    pub limit: RateLimit,
}

/// Latency and jitter at the channel, in milliseconds.
const LATENCIES: [(u32, u32); 3] = [(0, 0), (50, 25), (300, 150)];

impl WindowOptions {
    /// The accounts of a side: a hundred numbers for each latency.
    fn accounts(&self, side: u32) -> Vec<Account> {
        let of = |(index, latency): (u32, &(u32, u32))| {
            let first = side * 1_000 + index * 100;
            (first..first + self.targets).map(|account| Account { account, latency: *latency }).collect::<Vec<_>>()
        };
        (0..).zip(&LATENCIES).flat_map(of).collect()
    }

    /// Changes that keep a target busy to the end.
    fn changes_per_target(&self) -> usize {
        let milliseconds = (self.seconds + self.after) * 1_000;
        let windows = milliseconds.div_ceil(self.limit.window_ms().into()) + 2;
        usize::try_from(windows * u64::from(self.limit.requests())).unwrap_or(usize::MAX)
    }
}

/// An account at the channel.
#[derive(Debug, Clone, Copy)]
struct Account {
    account: u32,
    latency: (u32, u32),
}

/// Measures and gives the figures.
pub async fn run(options: &WindowOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let (ours, theirs) = (options.accounts(1), options.accounts(2));
    let mut targets = Vec::new();
    for account in &ours {
        targets.push(world.target(account.account, seeding()?).await?);
    }
    let changes = options.changes_per_target();
    say(&format!("creating {} listings on {} targets", changes * targets.len(), targets.len()));
    let places: Vec<_> = (0..changes * targets.len()).map(|index| (index, targets[index % targets.len()])).collect();
    let messages = Messages::new()?;
    let service = Service::start(&world)?;
    create_listings(&world, &service, &messages, &places).await?;
    for target in &targets {
        world.limit(*target, options.limit).await?;
    }
    service.drained(&world).await?;
    let latency = |a: &Account| json!({"account": a.account, "ms": a.latency.0, "jitter_ms": a.latency.1});
    let latencies: Vec<Value> = ours.iter().chain(&theirs).map(latency).collect();
    world.channel.latencies(&json!(latencies)).await?;
    // What seeding took has to be out of every window.
    tokio::time::sleep(Duration::from_millis(u64::from(options.limit.rest_ms()) + 500)).await;
    world.channel.reset().await?;

    let peer = Peer::start(&world).await?;
    let mut ours_side = Ours { service, messages, targets: targets.len(), changes };
    let mut their_side = Theirs::start(peer, options, theirs.iter().map(|a| a.account).collect(), changes).await?;
    ours_side.first(&world).await?;
    their_side.first(&world).await?;
    let window = Duration::from_millis(options.limit.window_ms().into());
    // A single change opens a window, and the rush comes just before that window ends: what any day brings.
    tokio::time::sleep(window.mul_f64(0.95)).await;
    let started = tokio::time::Instant::now();
    ours_side.rush(&world).await?;
    their_side.rush(&world).await?;
    say(&format!("{} s under a backlog, then a kill -9 and {} s more", options.seconds, options.after));
    tokio::time::sleep_until(started + Duration::from_secs(options.seconds)).await;
    let killed_us = u64::try_from(chrono::Utc::now().timestamp_micros())?;
    ours_side.kill_and_start(&world).await?;
    their_side.kill_and_start(&world).await?;
    tokio::time::sleep(Duration::from_secs(options.after)).await;
    let arrivals = world.channel.arrivals().await?;
    drop((ours_side, their_side));
    world.close().await?;
    report::figures(options, &ours, &theirs, &arrivals, killed_us, folder)
}
