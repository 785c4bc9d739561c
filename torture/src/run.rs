//! Runs, one after the other or side by side: break, heal, wait, check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::arguments::Arguments;
use crate::chaos;
use crate::checks;
use crate::plan::{Plan, Size};
use crate::quiet;
use crate::recovery;
use crate::report::{Report, line_of, say};
use crate::servers::Tools;
use crate::workload;
use crate::workload::Done;
use crate::world::World;

/// What all runs have in common.
#[derive(Debug)]
pub struct Setting {
    /// The command line.
    pub arguments: Arguments,
    /// Programs of servers.
    pub tools: Tools,
    /// The program of the service.
    pub program: PathBuf,
    /// How much there is of each.
    pub size: Size,
}

/// All runs, one report each, in the order of their seeds. What runs ends with whoever drops this.
pub async fn all(setting: &Arc<Setting>, seed: u64) -> anyhow::Result<Vec<Report>> {
    let (_going_on, stop) = watch::channel(());
    let at_once = usize::try_from(setting.arguments.at_once)?;
    let mut numbers = 0..setting.arguments.runs;
    let mut running = JoinSet::new();
    let mut reports = BTreeMap::new();
    loop {
        while running.len() < at_once
            && let Some(number) = numbers.next()
        {
            let (setting, stop, seed) = (setting.clone(), stop.clone(), seed.wrapping_add(number));
            running.spawn_blocking(move || anyhow::Ok((number, on_its_own(&setting, seed, stop)?)));
        }
        let Some(ended) = running.join_next().await else { break };
        let (number, report) = ended??;
        report.lines().iter().for_each(|line| say(line));
        reports.insert(number, report);
    }
    Ok(reports.into_values().collect())
}

/// A run with threads of its own: what keeps one of them busy, such as the making of a database, keeps no other run waiting.
fn on_its_own(setting: &Setting, seed: u64, mut stop: watch::Receiver<()>) -> anyhow::Result<Report> {
    let folder = setting.tools.folder.join(format!("{seed}-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            report = one(setting, seed, &folder) => report,
            // Nobody sends anything: it is the end of whoever waits for the runs.
            _ = stop.changed() => Err(anyhow!("the run of seed {seed} was stopped")),
        }
    });
    // Its processes are gone before its folder is.
    drop(runtime);
    let mut report = ended?;
    if report.violations.is_empty() && !setting.arguments.keep {
        std::fs::remove_dir_all(&folder)?;
    } else {
        report.kept = Some(folder);
    }
    Ok(report)
}

async fn one(setting: &Setting, seed: u64, folder: &Path) -> anyhow::Result<Report> {
    let Setting { arguments, tools, program, size } = setting;
    let plan = Plan::draw(seed, size);
    std::fs::write(folder.join("plan.txt"), plan.lines().join("\n"))?;
    let mut report = Report { seed, ..Report::default() };
    let world = match World::start(tools, program, folder).await {
        Ok(world) => Arc::new(world),
        // The runs before it have something to tell all the same.
        Err(error) => {
            report.violations.push(format!("the run did not begin: {error:#}"));
            return Ok(report);
        }
    };
    if let Some(why) = world.nats.lock().await.lacks_a_disk() {
        say(&line_of(seed, &format!("fill-disk is left out, as NATS has no disk of its own: {why}")));
    }
    let mut supervisors = JoinSet::new();
    world.fleet.supervise(&mut supervisors);
    let patience = Duration::from_secs(arguments.patience);
    let judged = judge(&world, &plan, patience, &mut report).await;
    if let Err(error) = judged {
        report.violations.push(format!("the run came to no end: {error:#}"));
    }
    if !report.violations.is_empty() || arguments.keep {
        let kept = world.keep_evidence().await;
        report.violations.extend(kept.err().map(|error| format!("the evidence cannot be kept: {error:#}")));
    }
    // Nobody is started again while the world is taken down.
    supervisors.shutdown().await;
    Ok(report)
}

async fn judge(world: &Arc<World>, plan: &Plan, patience: Duration, report: &mut Report) -> anyhow::Result<()> {
    let nats = world.connect_nats().await?;
    report.planned = (plan.faults.len() + plan.recoveries.iter().map(|one| one.kinds.len()).sum::<usize>()) as u64;
    let began = Instant::now();
    let work = async {
        let done = workload::run(world, plan, began, patience).await?;
        anyhow::Ok((done, began.elapsed()))
    };
    let breaking = async {
        report.faults = chaos::run(world, &plan.faults, began).await?;
        tokio::time::sleep_until(began + Duration::from_secs(plan.seconds)).await;
        chaos::heal(world).await?;
        anyhow::Ok(began.elapsed())
    };
    let ((mut done, worked), healed) = tokio::try_join!(work, breaking)?;
    report.violations.extend(done.failures.iter().map(|failure| format!("work: {failure}")));
    settle(world, &nats, &mut done, patience, report).await?;
    let settled = began.elapsed();
    report.quiet_after = Some(settled.saturating_sub(healed));
    recover(world, plan, &nats, &mut done, patience, report).await?;
    let found = checks::run(world, &nats, &done).await?;
    report.violations.extend(found.violations);
    report.unknowable = found.unknowable;
    let figure = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
    report.figures.extend([
        ("events", found.events),
        ("jobs", found.jobs),
        ("calls", figure(found.arrivals)),
        ("calls of checks", figure(found.check_calls)),
        ("unknowable calls", figure(report.unknowable.len() as u64)),
        ("full windows of the address", figure(found.full_windows)),
        ("retries", figure(done.retries.len() as u64)),
        ("seconds of work after the healing", figure(worked.saturating_sub(healed).as_secs())),
    ]);
    Ok(())
}

/// Breaks one thing after the other, and measures how long each takes to heal.
async fn recover(
    world: &Arc<World>,
    plan: &Plan,
    nats: &adapters::nats::Nats,
    done: &mut Done,
    patience: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    for recovery in &plan.recoveries {
        let recovered = recovery::measure(world, nats, recovery, &mut done.units, patience).await?;
        // Nothing is recovered from what did not come about, such as a full disk where there is none to fill.
        if !recovered.injected.is_empty() {
            report.recoveries.push((recovery.class, recovered.took));
        }
        for name in recovered.injected {
            *report.faults.entry(name).or_default() += 1;
        }
        settle(world, nats, done, patience, report).await?;
    }
    Ok(())
}

/// Waits until all is quiet, twice where something was left for a publisher or an operator to do.
async fn settle(
    world: &World,
    nats: &adapters::nats::Nats,
    done: &mut Done,
    patience: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    quiet::until_quiet(world, nats, patience).await?;
    let (republished, lost) = quiet::republish(world, nats, &mut done.units).await?;
    report.violations.extend(lost.into_iter().map(|lost| format!("intake: {lost}")));
    if republished > 0 {
        quiet::until_quiet(world, nats, patience).await?;
    }
    let (exhausted, wrong) = quiet::retry_exhausted(world).await?;
    report.violations.extend(wrong.into_iter().map(|wrong| format!("outcomes: {wrong}")));
    if exhausted > 0 {
        quiet::until_quiet(world, nats, patience).await?;
    }
    let figure = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
    *report.figures.entry("republished").or_default() += figure(republished);
    *report.figures.entry("exhausted").or_default() += figure(exhausted);
    Ok(())
}
