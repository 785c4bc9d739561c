//! `bench scale`: one to four dispatchers, each a process of its own, against a channel that answers after 50 ms. All other
//! roles are one more process. The queue is full before any dispatcher is let go.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use domain::window::RateLimit;
use serde_json::{Value, json};

use crate::figures::{Spread, float, machine, rounded};
use crate::ours::{Service, create_spread, publish};
use crate::plot::{Bars, Group};
use crate::process::Patience;
use crate::say;
use crate::side::Revisions;
use crate::units::Messages;
use crate::world::{SHARED_ACCOUNT, World};

/// How many, and against what.
#[derive(Debug, Clone, Args)]
pub struct ScaleOptions {
    /// Dispatchers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3, 4])]
    pub dispatchers: Vec<usize>,

    /// Syncs that one dispatcher has under way at the same time: so few that it waits for the channel and not for the
    /// machine
    #[arg(long, default_value_t = 4)]
    pub concurrency: u16,

    /// Seconds that a run would take if every call took the channel's latency and nothing more
    #[arg(long, default_value_t = 20)]
    pub seconds: usize,

    /// The latency of the channel, in milliseconds
    #[arg(long, default_value_t = 50)]
    pub latency_ms: u16,

    /// Targets that the listings are on
    #[arg(long, default_value_t = 20)]
    pub targets: usize,

    /// The limit of each target: so wide that no window is ever full
    #[arg(long, default_value = "64/100ms")]
    pub limit: RateLimit,

    /// Runs of each number
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,
}

impl ScaleOptions {
    /// What so many dispatchers could do at most.
    fn ceiling(&self, dispatchers: usize) -> f64 {
        float(dispatchers) * f64::from(self.concurrency) * 1_000.0 / f64::from(self.latency_ms.max(1))
    }

    /// Changes that keep them busy for as long as was asked for.
    fn changes(&self, dispatchers: usize) -> usize {
        let calls = dispatchers * usize::from(self.concurrency) * self.seconds * 1_000;
        (calls / usize::from(self.latency_ms.max(1))).max(1)
    }
}

/// A dispatcher is there after so long.
const TO_START: Duration = Duration::from_secs(1);

/// Measures and gives the figures.
pub async fn run(options: &ScaleOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let messages = Messages::new()?;
    let most = options.dispatchers.iter().copied().max().unwrap_or(1);
    create_spread(&world, &messages, options.changes(most), options.targets, options.limit).await?;
    let latency = json!([{"account": SHARED_ACCOUNT, "ms": options.latency_ms, "jitter_ms": 0}]);
    world.channel.latencies(&latency).await?;
    let mut revisions = Revisions::new();
    let mut rates = BTreeMap::<usize, Vec<f64>>::new();
    for round in 1..=options.repeat {
        for dispatchers in &options.dispatchers {
            let rate = one_run(&world, &messages, options, *dispatchers, &mut revisions).await?;
            say(&format!("{round}: {dispatchers} dispatchers, {rate:.0} syncs/s"));
            rates.entry(*dispatchers).or_default().push(rate);
        }
    }
    world.close().await?;
    figures(options, &rates, folder)
}

async fn one_run(
    world: &World,
    messages: &Messages,
    options: &ScaleOptions,
    dispatchers: usize,
    revisions: &mut Revisions,
) -> anyhow::Result<f64> {
    let others = Service::start_with(world, "others", &["--roles=intake,relay,projector"])?;
    let concurrency = format!("--concurrency={}", options.concurrency);
    let start =
        |number| Service::start_with(world, &format!("dispatcher-{number}"), &["--roles=dispatcher", &concurrency]);
    let working = (0..dispatchers).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    // A tenth to warm up, which each of them has a part in.
    let changes = options.changes(dispatchers);
    let units: Vec<usize> = (0..changes).collect();
    tokio::time::sleep(TO_START).await;
    world.channel.reset().await?;
    publish(world, messages, &units[..(changes / 10).max(1)], revisions.next()).await?;
    world.channel.until_written(&others.process, SHARED_ACCOUNT, (changes / 10).max(1)).await?;
    others.drained(world).await?;

    working.iter().try_for_each(|dispatcher| dispatcher.process.hold())?;
    publish(world, messages, &units, revisions.next()).await?;
    let queued = async || Ok(world.count("SELECT count(*) FROM sync_queue").await? >= i64::try_from(changes)?);
    others.process.until(Patience::ROWS, "done with queueing", queued).await?;
    others.caught_up(world).await?;
    sqlx::query("CHECKPOINT").execute(&world.pool).await?;
    world.channel.reset().await?;
    let started = Instant::now();
    working.iter().try_for_each(|dispatcher| dispatcher.process.let_go())?;
    // Without the last calls, when some of them have nothing left to do.
    world.channel.until_written(&others.process, SHARED_ACCOUNT, (changes - changes / 20).max(1)).await?;
    let written = world.channel.writes(SHARED_ACCOUNT).await?;
    let rate = float(written) / started.elapsed().as_secs_f64();
    others.drained(world).await?;
    for dispatcher in working {
        dispatcher.process.stop().await?;
    }
    others.process.stop().await?;
    Ok(rate)
}

fn figures(options: &ScaleOptions, rates: &BTreeMap<usize, Vec<f64>>, folder: Option<&Path>) -> anyhow::Result<Value> {
    let throughput: BTreeMap<usize, Spread> =
        rates.iter().map(|(count, runs)| (*count, Spread::of(runs.iter().copied()))).collect();
    let of = |count: usize| throughput.get(&count).map_or(f64::NAN, |spread| spread.median);
    let ratios: BTreeMap<usize, f64> = throughput.keys().map(|count| (*count, rounded(of(*count) / of(1)))).collect();
    let ceilings: BTreeMap<usize, f64> = throughput.keys().map(|count| (*count, options.ceiling(*count))).collect();
    let figures = json!({
        "bench": "scale", "latency_ms": options.latency_ms, "concurrency": options.concurrency,
        "runs": options.repeat, "machine": machine(), "ratio_two": ratios.get(&2), "ratios": ratios,
        "throughput": throughput, "ceiling": ceilings,
    });
    let group = |(count, spread): (&usize, &Spread)| {
        let most = Spread::exactly(options.ceiling(*count));
        Group { name: format!("{count}"), bars: vec![*spread, most] }
    };
    let groups: Vec<Group> = throughput.iter().map(group).collect();
    let title = format!("Dispatchers against a channel with {} ms", options.latency_ms);
    let sides = ["ours", "what the latency allows"];
    Bars { title: &title, unit: "syncs/s", sides: &sides, groups: &groups }.save(folder, "scale", &figures)?;
    Ok(figures)
}
