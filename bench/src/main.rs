//! `bench`: measures the service against what it replaces. Each command prints one JSON object as its last line; what
//! it says on the way goes to stderr.

mod api;
mod arrivals;
mod channel;
mod cost;
mod dashboard;
mod drain;
mod fairness;
mod figures;
mod floor;
mod growth;
mod journal;
mod latency;
mod memory;
mod node;
mod ours;
mod peer;
mod pgbench;
mod plot;
mod pressure;
mod process;
mod rebuild;
mod redis;
mod scale;
mod seed;
mod side;
mod smoke;
mod sync;
mod telemetry;
mod tools;
mod units;
mod window;
mod world;

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

// The service's own, because parts of it are measured in this process.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measures the service against BullMQ, and its journal against Postgres itself
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// The folder that figures (JSON) and plots (SVG) are written into
    #[arg(long, global = true)]
    save: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Unit changes in, until every audit row is there: syncs/s, CPU, memory, change to call
    Sync(sync::SyncOptions),
    /// The fullest window at the receiver, and how much of the budget is used
    Window(window::WindowOptions),
    /// Appends/s of the journal against one-row inserts of pgbench
    Journal(journal::JournalOptions),
    /// From change to call, idle and at 1 %, 50 % and 80 % of the throughput
    Latency(latency::LatencyOptions),
    /// From change to call on quiet targets, while another one has a long backlog and while none has
    Fairness(fairness::FairnessOptions),
    /// Events/s of the projections, live and made anew, and of the relay
    Rebuild(rebuild::RebuildOptions),
    /// What a claim, an append, a projected batch and a page of history cost by size
    Growth(growth::GrowthOptions),
    /// One to four dispatchers against a channel with 50 ms latency
    Scale(scale::ScaleOptions),
    /// What reads and writes of the HTTP API take at a pace, alone and beside a full sync
    Api(api::ApiOptions),
    /// What telemetry costs: throughput with everything on, and without
    Telemetry(telemetry::TelemetryOptions),
    /// Private memory of the service beside 10,000 targets and a million listings
    Memory(memory::MemoryOptions),
    /// Private memory while a million changes wait for a channel that hangs, a slow Postgres or a full NATS, and the way back
    Pressure(pressure::PressureOptions),
    /// The first view beside a large database, and syncs/s with and without viewers of live pages
    Dashboard(dashboard::DashboardOptions),
    /// What a sync leaves behind, made by the servers alone: the least that it can cost
    Floor(floor::FloorOptions),
    /// All of them, tiny: they still run
    Smoke,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = arguments.save.as_deref();
    let figures = match &arguments.command {
        Command::Sync(options) => sync::run(options, folder).await?,
        Command::Window(options) => window::run(options, folder).await?,
        Command::Journal(options) => journal::run(options, folder).await?,
        Command::Latency(options) => latency::run(options, folder).await?,
        Command::Fairness(options) => fairness::run(options, folder).await?,
        Command::Rebuild(options) => rebuild::run(options, folder).await?,
        Command::Growth(options) => growth::run(options, folder).await?,
        Command::Scale(options) => scale::run(options, folder).await?,
        Command::Api(options) => api::run(options, folder).await?,
        Command::Telemetry(options) => telemetry::run(options, folder).await?,
        Command::Memory(options) => memory::run(options, folder).await?,
        Command::Pressure(options) => pressure::run(options, folder).await?,
        Command::Dashboard(options) => dashboard::run(options, folder).await?,
        Command::Floor(options) => floor::run(options, folder).await?,
        Command::Smoke => smoke::run(folder).await?,
    };
    writeln!(std::io::stdout(), "{figures}")?;
    Ok(())
}

/// Says how far it is.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
