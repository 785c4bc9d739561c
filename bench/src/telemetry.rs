//! `bench telemetry`: what telemetry costs. The same changes with it off, and with every trace kept and sent, or a share of
//! them, and metrics shown, in turns.

use std::path::Path;

use clap::Args;
use domain::window::RateLimit;
use serde_json::{Value, json};

use crate::figures::{Spread, float, machine, rounded};
use crate::ours::create_spread;
use crate::plot::{Bars, Group};
use crate::say;
use crate::side::{Ours, Revisions, Side as _};
use crate::units::Messages;
use crate::world::World;

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub struct TelemetryOptions {
    /// Changes in each run
    #[arg(long, short = 'n', default_value_t = 10_000)]
    pub changes: usize,

    /// Targets that the listings are on
    #[arg(long, default_value_t = 20)]
    pub targets: usize,

    /// The limit of each target: so wide that no window is ever full
    #[arg(long, default_value = "64/100ms")]
    pub limit: RateLimit,

    /// Runs of each
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,

    /// The share of traces that is kept; spans of the others are held for a while
    #[arg(long, default_value_t = 1.0)]
    pub kept: f64,
}

/// Measures and gives the figures.
pub async fn run(options: &TelemetryOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let messages = Messages::new()?;
    create_spread(&world, &messages, options.changes, options.targets, options.limit).await?;
    // The channel takes whatever is sent there, and throws it away.
    let endpoint = format!("--otlp-endpoint={}/_bench/otlp", world.channel.url);
    let kept = format!("--trace-ratio={}", options.kept);
    let on = [endpoint.as_str(), "--otlp-protocol=http/protobuf", kept.as_str(), "--metrics-listen=127.0.0.1:0"];
    let sides: [(&str, &[&str]); 2] = [("off", &[]), ("on", &on)];
    let mut revisions = Revisions::new();
    let mut rates = [Vec::new(), Vec::new()];
    let all: Vec<usize> = (0..options.changes).collect();
    for round in 1..=options.repeat {
        for ((name, arguments), rates) in sides.iter().zip(&mut rates) {
            let side = Ours::start_with(&world, &messages, arguments).await?;
            side.warm(&world, &all, revisions.next()).await?;
            let rate = float(options.changes) / side.drain(&world, &all, revisions.next()).await?.seconds;
            side.stop().await?;
            say(&format!("{round}: telemetry {name}, {rate:.0} syncs/s"));
            rates.push(rate);
        }
    }
    world.close().await?;
    let [off, on] = rates.map(Spread::of);
    let figures = json!({
        "bench": "telemetry", "changes": options.changes, "targets": options.targets, "runs": options.repeat,
        "kept": options.kept, "machine": machine(), "off_syncs_per_s": off, "on_syncs_per_s": on,
        "ratio": rounded(on.median / off.median),
    });
    let groups = [Group { name: "syncs".to_owned(), bars: vec![off, on] }];
    let title = format!("Throughput without telemetry, and with {} % of the traces kept", options.kept * 100.0);
    let bars = Bars { title: &title, unit: "syncs/s", sides: &["off", "on"], groups: &groups };
    bars.save(folder, "telemetry", &figures)?;
    Ok(figures)
}
