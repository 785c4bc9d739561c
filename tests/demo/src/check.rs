//! `demo --check`: everything from nothing, headless and bounded; whatever happens, processes, database and streams
//! are gone afterwards.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::figures::Figures;
use crate::interactive::stop_signal;
use crate::process::Running;
use crate::progress::{drain, say, tell};
use crate::publisher::Publisher;
use crate::run::{Processes, Run};
use crate::stage::{Servers, Stage};
use crate::trickle::Trickle;
use crate::{channel, figures, latest_wins, postgres, process};

/// Nothing is waited for after this, so that comparing and cleaning up end within the minute.
const WAIT: Duration = Duration::from_secs(50);
/// If even that hangs.
const LIMIT: Duration = Duration::from_secs(57);
/// Live changes, and the time between two.
const CHANGES: usize = 20;
const BETWEEN: Duration = Duration::from_millis(200);
/// The channel takes photos in the background for so long.
const PHOTOS: Duration = Duration::from_millis(700);

/// Verifies, prints, cleans up.
pub async fn run(servers: &Servers, villas: usize) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let stage = Stage::of_check(servers)?;
    let checked = tokio::select! {
        checked = tokio::time::timeout(LIMIT, verify(&stage, villas, started)) => checked.unwrap_or_else(|_| {
            Err(anyhow::anyhow!("the check was not done after {} s", LIMIT.as_secs()))
        }),
        () = stop_signal() => Err(anyhow::anyhow!("stopped by a signal")),
    };
    if let Err(error) = clean_up(&stage).await {
        say(&format!("warning: cannot clean up: {error:#}"));
    }
    match checked {
        Ok(figures) => {
            if figures.ok {
                stage.remove_logs();
            }
            tell(&serde_json::to_string(&figures)?);
            Ok(if figures.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => {
            let seconds = started.elapsed().as_secs();
            say(&format!("error: {error:#}"));
            say(&format!("logs: {}", Stage::shown(&stage.log_file("distribution"))));
            tell(&json!({ "ok": false, "error": format!("{error:#}"), "seconds": seconds }).to_string());
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn verify(stage: &Stage, villas: usize, started: Instant) -> anyhow::Result<Figures> {
    let (mut run, processes) = Run::set_up(stage, villas).await?;
    let figures = tokio::select! {
        figures = examine(&mut run, processes.service.running(), started) => figures?,
        name = death(&processes) => {
            let words = process::last_lines(&stage.log_file(name));
            anyhow::bail!("{name} has died; its last words:\n{words}");
        }
    };
    run.pool.close().await;
    Ok(figures)
}

/// The first of the processes that ends; never, if all is well.
async fn death(processes: &Processes) -> &'static str {
    loop {
        for (name, process) in [("distribution", &processes.service), ("sandbox", &processes.sandbox)] {
            if !process.running().is_alive() {
                return name;
            }
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

async fn examine(run: &mut Run, service: &Running, started: Instant) -> anyhow::Result<Figures> {
    let deadline = started + WAIT;
    run.publish_all().await?;
    say(&format!(
        "{} villas are linked and published after {:.1} s",
        run.villas.len(),
        started.elapsed().as_secs_f64()
    ));
    let mut problems = Vec::new();
    if drain(run, deadline).await? {
        play(run, deadline).await.unwrap_or_else(|missing| problems.push(format!("at the end {missing:#}")));
    } else {
        problems.push("the first full sync did not end in time".to_owned());
    }
    tokio::time::sleep(PHOTOS).await;
    let found = channel::compare(run).await?;
    figures::gather(run, service, &found, problems, started).await
}

/// What happens after the first full sync.
async fn play(run: &mut Run, deadline: Instant) -> anyhow::Result<()> {
    latest_wins::show(run, deadline).await?;
    let mut trickle = Trickle::new(run, 1).await?;
    let mut latencies = Vec::new();
    for _ in 0..CHANGES {
        trickle.change(run).await?;
        tokio::time::sleep(BETWEEN).await;
        latencies.extend(trickle.look(run).await?.into_iter().filter_map(|followed| followed.latency));
    }
    while trickle.under_way() > 0 && Instant::now() < deadline {
        tokio::time::sleep(BETWEEN).await;
        latencies.extend(trickle.look(run).await?.into_iter().filter_map(|followed| followed.latency));
    }
    latencies.sort_unstable();
    let at = |index: usize| latencies.get(index).copied().unwrap_or_default().as_secs_f64();
    say(&format!(
        "{} of {CHANGES} live changes arrived, half of them within {:.2} s, the last after {:.2} s",
        latencies.len(),
        at(latencies.len() / 2),
        at(latencies.len().saturating_sub(1)),
    ));
    anyhow::ensure!(trickle.under_way() == 0, "{} live changes had not arrived", trickle.under_way());
    run.settled(deadline).await
}

async fn clean_up(stage: &Stage) -> anyhow::Result<()> {
    let streams = async { Publisher::connect(stage).await?.delete_streams().await };
    let (streams, database) = (streams.await, postgres::remove(stage).await);
    std::fs::remove_dir_all(&stage.folder)?;
    streams.and(database)
}
