//! The sandbox as its own process: reads the command line, binds, says where it listens, serves until it is told to stop.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use hostaway_sandbox::{Config, Limit, LimitTable, Sandbox, parse_limit, parse_table};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// A faithful Hostaway for developers, with limits and faults on demand.
#[derive(Parser)]
#[command(name = "hostaway-sandbox", version)]
struct Cli {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// File that receives `host:port` once the sandbox listens (written whole, by rename).
    #[arg(long)]
    port_file: Option<PathBuf>,
    /// Account to know from the start; may be given many times.
    #[arg(long = "account", value_name = "ID:SECRET", value_parser = parse_account)]
    accounts: Vec<(u64, String)>,
    /// Rate table: `current` (200/10 s per account and per IP), `old` (20/10 s and 15/10 s), `off`, or `N/WINDOW_S`
    /// per account with no limit per IP.
    #[arg(long, default_value = "current", value_parser = parse_table)]
    limits: LimitTable,
    /// Limit per IP, in place of the one of `--limits`: `off` or `N/WINDOW_S`.
    #[arg(long, value_name = "off|N/WINDOW_S")]
    ip_limits: Option<String>,
    /// How long after its issue a token becomes usable.
    #[arg(long, default_value_t = 1000)]
    token_delay_ms: u64,
    /// How long the background import of posted images takes.
    #[arg(long, default_value_t = 500)]
    image_delay_ms: u64,
    /// File that keeps accounts, tokens, listings and reservations: written at the stop and when something has changed,
    /// taken up again at the start.
    #[arg(long, value_name = "PATH")]
    state_file: Option<PathBuf>,
    /// Show the body of each call among the arrivals, but for token calls.
    #[arg(long)]
    keep_bodies: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut limits = cli.limits;
    if let Some(text) = &cli.ip_limits {
        limits.ip = ip_limit(text)?;
    }
    let config = Config {
        accounts: cli.accounts,
        limits,
        token_delay: Duration::from_millis(cli.token_delay_ms),
        image_delay: Duration::from_millis(cli.image_delay_ms),
        state_file: cli.state_file,
        keep_bodies: cli.keep_bodies,
    };
    let sandbox = Sandbox::open(config)?;
    let listener = TcpListener::bind(cli.listen).await.with_context(|| format!("cannot listen on {}", cli.listen))?;
    let address = listener.local_addr().context("the listener has no address")?;
    if let Some(path) = &cli.port_file {
        write_port_file(path, address)?;
    }
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{address}").and_then(|()| out.flush()).context("cannot write to stdout")?;
    sandbox.serve(listener, stop_signal()?).await
}

fn ip_limit(text: &str) -> anyhow::Result<Option<Limit>> {
    match text {
        "off" => Ok(None),
        _ => parse_limit(text).map(Some).map_err(|reason| anyhow::anyhow!("--ip-limits: {reason}")),
    }
}

fn parse_account(text: &str) -> Result<(u64, String), String> {
    let (id, secret) = text.split_once(':').ok_or("expected ID:SECRET")?;
    let id = id.parse::<u64>().ok().filter(|id| *id > 0).ok_or_else(|| format!("{id:?} is not an account id"))?;
    if secret.is_empty() { Err("the secret is empty".to_owned()) } else { Ok((id, secret.to_owned())) }
}

/// A reader that polls for the file must never see half of it: write beside it, then rename.
fn write_port_file(path: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    std::fs::write(&beside, address.to_string())
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("cannot write the port file {}", path.display()))
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for ctrl-c")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
