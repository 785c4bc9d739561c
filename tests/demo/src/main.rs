//! The demo driver: starts the Hostaway sandbox and the service, makes an organisation with three targets and its
//! villas, publishes their changes, and either keeps it all running (`demo`, which goes on with the same data after a
//! `./justw down`) or verifies it and ends (`demo --check`).

mod channel;
mod check;
mod distribution;
mod figures;
mod guide;
mod interactive;
mod latest_wins;
mod postgres;
mod process;
mod progress;
mod publisher;
mod run;
mod sandbox;
mod stage;
mod targets;
mod trickle;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use stage::Servers;

/// 200 villas, three Hostaway accounts in a sandbox, and the service between them. What is there stays until --fresh,
/// also when it was stopped.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Cli {
    /// Headless, on a database of its own and in under a minute: verify every field, print one JSON object, clean up
    #[arg(long)]
    check: bool,

    /// Start over: stop what runs, drop the demo's database, its streams and the listings at the sandbox
    #[arg(long, conflicts_with = "check")]
    fresh: bool,

    /// How many villas
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = villas)]
    villas: usize,

    /// Let the live changes end after so many seconds; until ctrl-c by default
    #[arg(long, value_name = "SECONDS", conflicts_with = "check")]
    seconds: Option<u64>,

    /// Postgres; the demo makes databases of its own on this server
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: url::Url,

    /// NATS; the demo's streams have a prefix of their own
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    nats_url: String,

    /// Where pid files, logs and the demo's own things are kept
    #[arg(long, default_value = ".dev", value_name = "FOLDER")]
    dev: PathBuf,
}

fn villas(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "is no number".to_owned())?;
    // Fewer leave a target without villas, more do not drain in a minute.
    if (30..=400).contains(&number) { Ok(number) } else { Err("use 30 to 400".to_owned()) }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let servers = Servers { database_url: cli.database_url, nats_url: cli.nats_url, dev: cli.dev };
    let done = if cli.check {
        check::run(&servers, cli.villas).await
    } else {
        interactive::run(&servers, cli.villas, cli.fresh, cli.seconds.map(Duration::from_secs)).await
    };
    done.unwrap_or_else(|error| {
        progress::say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}
