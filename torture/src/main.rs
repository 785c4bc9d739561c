//! Tries to break the service, by a seed that repeats, and checks what is left against a model.

mod arguments;
mod caller;
mod chaos;
mod checks;
mod clock;
mod far;
mod fleet;
mod plan;
mod published;
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
use std::sync::Arc;

use arguments::Arguments;
use clap::Parser as _;
use end_to_end::process::binary;
use plan::{FaultKind, Plan, Size};
use report::say;
use run::Setting;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
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
    let program = arguments.distribution.clone().map_or_else(|| binary("distribution"), Ok)?;
    anyhow::ensure!(program.is_file(), "--distribution {}: there is no such program", program.display());
    say(&format!("seed {seed}"));
    if arguments.at_once > 1 {
        allow_open_files();
    }
    let setting = Arc::new(Setting { arguments, tools: Tools::find()?, program, size });
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // What runs is dropped at a signal, and its processes are gone with it.
    let reports = tokio::select! {
        reports = run::all(&setting, seed) => reports?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    };
    let summary = report::summary(&reports);
    let held = summary["violations"] == 0;
    report::recovery_lines(&summary).iter().chain(&report::shown_lines(&summary)).for_each(|line| say(line));
    say(&summary.to_string());
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each connection of a process has two ends in its proxy here: some hundred for a run, of which one alone may want no more than
/// a shell allows.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be had, fewer runs fit.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
