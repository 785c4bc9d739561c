//! Tries to break the service, by a seed that repeats, and checks what is left against a model.

mod arguments;
mod caller;
mod chaos;
mod checks;
mod clock;
mod fleet;
mod line;
mod plan;
mod proxy;
mod quiet;
mod recovery;
mod report;
mod run;
mod servers;
mod unit;
mod who;
mod workload;
mod world;

use std::process::ExitCode;

use arguments::Arguments;
use clap::Parser as _;
use plan::{FaultKind, Plan, Size};
use report::say;
use servers::Tools;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let size = Size {
        seconds: arguments.seconds,
        units: arguments.units,
        faults: arguments.faults,
        only: arguments.only.clone(),
    };
    if let Some(unknown) = size.unknown() {
        anyhow::bail!("--only {unknown}: no fault's name begins so; there are {}", FaultKind::names().join(", "));
    }
    if arguments.plan {
        say(&format!("seed {seed}"));
        Plan::draw(seed, &size).lines().iter().for_each(|line| say(line));
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("seed {seed}"));
    let tools = Tools::find()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // What runs is dropped at a signal, and its processes are gone with it.
    let reports = tokio::select! {
        reports = run::all(&arguments, &tools, seed, &size) => reports?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    };
    let summary = report::summary(&reports);
    let held = summary["violations"] == 0;
    report::recovery_lines(&summary).iter().for_each(|line| say(line));
    say(&summary.to_string());
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
