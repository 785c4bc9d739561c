//! `demo`: starts what is not running, shows the first full sync and what a pause does, and then keeps live changes
//! coming. Sandbox and service go on after it until `./justw down`; a later `demo` finds them, or starts them again with
//! all that they had.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Local;
use serde::{Deserialize, Serialize};

use crate::progress::{drain, say, tell};
use crate::publisher::Publisher;
use crate::run::Run;
use crate::sandbox::Sandbox;
use crate::stage::{Servers, Stage};
use crate::targets::Target;
use crate::trickle::{Followed, Trickle};
use crate::{channel, distribution, figures, guide, latest_wins, postgres, process, sandbox};

/// One change a second.
const BETWEEN: Duration = Duration::from_secs(1);
/// And arrivals looked for so often.
const LOOK: Duration = Duration::from_millis(100);
/// The first full sync and the pause; a service that cannot do it in this time has a problem worth telling.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a later demo needs to find this one. Written once everything is published.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    /// Its address, which the targets have.
    sandbox: String,
    villas: usize,
    targets: Vec<Target>,
}

impl Saved {
    fn write(&self, stage: &Stage) -> anyhow::Result<()> {
        Ok(std::fs::write(stage.folder.join("state.json"), serde_json::to_vec_pretty(self)?)?)
    }
}

/// Plays until ctrl-c, or for some seconds of live changes.
pub async fn run(servers: &Servers, villas: usize, fresh: bool, seconds: Option<Duration>) -> anyhow::Result<ExitCode> {
    let stage = Stage::lasting(servers)?;
    let played = tokio::select! {
        played = play(&stage, villas, fresh, seconds) => played,
        () = stop_signal() => Ok(()),
    };
    if process::find(&stage.pid_file(distribution::PROGRAM), distribution::PROGRAM).is_some() {
        tell("");
        tell("The service and the sandbox go on running. ./justw down stops them; ./justw demo comes back");
        tell("to them, also after that, with everything that is there.");
    }
    played.map(|()| ExitCode::SUCCESS)
}

async fn play(stage: &Stage, villas: usize, fresh: bool, seconds: Option<Duration>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let found = if fresh { None } else { come_back(stage, villas).await? };
    let is_new = found.is_none();
    let mut run = match found {
        Some(run) => run,
        None => start_over(stage, villas).await?,
    };
    let in_time = drain(&run, deadline).await?;
    anyhow::ensure!(in_time, "the first full sync did not end: see {}", guide::log(stage));
    if is_new {
        latest_wins::show(&mut run, deadline).await?;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let found = channel::compare(&run).await?;
        figures::show(&found.differences);
        say(&format!(
            "{} listings and their nights compared with their units, field by field: {} differences",
            found.listings,
            found.differences.len()
        ));
    }
    guide::print(&run).await?;
    live(&mut run, seconds).await
}

/// The demo that was there before, running or not.
async fn come_back(stage: &Stage, villas: usize) -> anyhow::Result<Option<Run>> {
    let Ok(saved) = std::fs::read(stage.folder.join("state.json")) else { return Ok(None) };
    let Ok(mut saved) = serde_json::from_slice::<Saved>(&saved) else { return Ok(None) };
    if postgres::create(stage).await? {
        say("The demo's database is gone: the demo starts over.");
        return Ok(None);
    }
    let Some(sandbox) = find_sandbox(stage, &mut saved).await? else { return Ok(None) };
    if saved.villas != villas {
        say(&format!("There are {} villas; for another number start over with --fresh.", saved.villas));
    }
    let publisher = Publisher::connect(stage).await?;
    let service = process::find(&stage.pid_file(distribution::PROGRAM), distribution::PROGRAM);
    match service {
        Some(service) if !service.is_outdated() => {}
        other => {
            say("Starting the service again; it goes on where it was.");
            if let Some(outdated) = other {
                outdated.stop();
            }
            distribution::serve(stage, &publisher).await?.release();
        }
    }
    let pool = postgres::connect(stage).await?;
    let started = Instant::now();
    let mut bodies = postgres::villas(&pool, saved.villas).await?;
    while bodies.len() < saved.villas && started.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        bodies = postgres::villas(&pool, saved.villas).await?;
    }
    anyhow::ensure!(bodies.len() == saved.villas, "the service knows {} of {} villas", bodies.len(), saved.villas);
    let published = postgres::backlog(&pool).await?.taken;
    let run = Run { stage: stage.clone(), pool, sandbox, publisher, targets: saved.targets, villas: bodies, published };
    Ok(Some(run))
}

/// The sandbox with its listings, started again where it was stopped. `None` if its listings are lost.
async fn find_sandbox(stage: &Stage, saved: &mut Saved) -> anyhow::Result<Option<Sandbox>> {
    let sandbox = match sandbox::find(stage) {
        Some(running) => running,
        None if stage.sandbox_state().is_some_and(|path| path.is_file()) => {
            say("Starting the sandbox again; it has what it had.");
            let (process, sandbox) = sandbox::start(stage, Some(&saved.sandbox)).await?;
            sandbox.enforce_limits().await?;
            process.release();
            sandbox
        }
        None => {
            say("The sandbox's state file is gone, and with it the listings at the channel: the demo starts over.");
            return Ok(None);
        }
    };
    sandbox.summary().await?;
    if sandbox.address != saved.sandbox {
        say(&format!("Its port was taken: the targets are told that it is at {} now.", sandbox.address));
        distribution::move_targets(stage, &saved.targets, &sandbox.address).await?;
        saved.sandbox.clone_from(&sandbox.address);
        saved.write(stage)?;
    }
    Ok(Some(sandbox))
}

async fn start_over(stage: &Stage, villas: usize) -> anyhow::Result<Run> {
    for (name, program) in [("distribution", distribution::PROGRAM), ("sandbox", sandbox::PROGRAM)] {
        if let Some(running) = process::find(&stage.pid_file(name), program) {
            running.stop();
        }
    }
    postgres::remove(stage).await?;
    Publisher::connect(stage).await?.delete_streams().await?;
    std::fs::remove_dir_all(&stage.folder).context("cannot empty the demo's folder")?;
    std::fs::create_dir_all(&stage.folder)?;
    say(&format!("Starting the sandbox and the service, and making {villas} villas on three targets."));
    let (mut run, processes) = Run::set_up(stage, villas).await?;
    run.publish_all().await?;
    guide::write_command(stage)?;
    let saved = Saved { sandbox: run.sandbox.address.clone(), villas, targets: run.targets.clone() };
    saved.write(stage)?;
    processes.sandbox.release();
    processes.service.release();
    Ok(run)
}

/// A change a second, each with its time to the channel.
async fn live(run: &mut Run, seconds: Option<Duration>) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut trickle = Trickle::new(run, u64::try_from(chrono::Utc::now().timestamp())?).await?;
    let mut next = started;
    while seconds.is_none_or(|seconds| started.elapsed() < seconds) {
        if Instant::now() >= next {
            if process::find(&run.stage.pid_file(distribution::PROGRAM), distribution::PROGRAM).is_none() {
                say(
                    "The service is gone. `./justw demo` starts it again, and what was published meanwhile is taken in.",
                );
                return Ok(());
            }
            trickle.change(run).await?;
            next += BETWEEN;
        }
        trickle.look(run).await?.iter().for_each(|followed| print(run, followed));
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn print(run: &Run, followed: &Followed) {
    let body = &run.villas[followed.villa];
    let (unit, name) = (body["unit_id"].as_str().unwrap_or("?"), body["unit"]["name"]["en"].as_str().unwrap_or("?"));
    let target = run.target_of(followed.villa).role().name;
    let end = match followed.latency {
        Some(latency) => format!("at the channel after {:.2} s", latency.as_secs_f64()),
        None => format!("not there yet: {} queue", guide::command(&run.stage)),
    };
    let now = Local::now().format("%H:%M:%S");
    tell(&format!("{now}  {unit}  {name:<24.24}  {target:<13}  {:<44.44}  {end}", followed.words));
}

/// Ctrl-c or SIGTERM.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("a process may listen for SIGTERM");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
