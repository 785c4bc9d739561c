//! Does what the plan says to the world, each fault in its time, and undoes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::now_us;
use crate::far::Far;
use crate::plan::{Fault, FaultKind, SandboxFault};
use crate::published::Wipe;
use crate::servers;
use crate::who::Who;
use crate::world::World;

/// Breaks the world until every fault is over. Gives how often each came about: one that found nothing to break is not
/// counted.
pub async fn run(world: &Arc<World>, faults: &[Fault], began: Instant) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    let mut tasks = JoinSet::new();
    for fault in faults.iter().copied() {
        let world = world.clone();
        tasks.spawn(async move {
            tokio::time::sleep_until(began + Duration::from_millis(fault.at_ms)).await;
            let broken = inflict(&world, fault.kind, Duration::from_millis(fault.for_ms)).await;
            anyhow::Ok((fault.kind.name(), broken.with_context(|| fault.to_string())?))
        });
    }
    while let Some(ended) = tasks.join_next().await {
        let (name, broken) = ended??;
        if broken {
            *counts.entry(name).or_default() += 1;
        }
    }
    Ok(counts)
}

/// Undoes whatever may be left.
pub async fn heal(world: &World) -> anyhow::Result<()> {
    for far in [Far::Postgres, Far::Nats, Far::Channel] {
        world.fleet.set_line(None, far, None);
    }
    world.fleet.members().iter().for_each(|member| member.go_on());
    world.sandbox.heal().await?;
    world.postgres.lock().await.run().await?;
    let mut nats = world.nats.lock().await;
    nats.empty_disk()?;
    nats.run().await?;
    drop(nats);
    servers::empty(&world.nats_url).await
}

/// Breaks one thing for a while, and mends it. Gives whether there was something to break.
pub async fn inflict(world: &World, kind: FaultKind, span: Duration) -> anyhow::Result<bool> {
    let began_us = now_us();
    let broken = match kind {
        FaultKind::Kill(who) => world.fleet.member(who).kill(span).await,
        FaultKind::Stop(who) => world.fleet.member(who).stop(span).await,
        FaultKind::Roll(who) => world.fleet.member(who).roll(span).await,
        FaultKind::CrashPostgres => {
            let mut postgres = world.postgres.lock().await;
            let ran = postgres.is_running();
            postgres.crash().await?;
            tokio::time::sleep(span).await;
            postgres.run().await?;
            ran
        }
        FaultKind::RestartPostgres => {
            let mut postgres = world.postgres.lock().await;
            let ran = postgres.is_running();
            postgres.shut_down().await?;
            tokio::time::sleep(span).await;
            postgres.run().await?;
            ran
        }
        FaultKind::StopPostgres => world.postgres.lock().await.freeze(span).await?,
        FaultKind::StopNats => world.nats.lock().await.freeze(span).await?,
        FaultKind::KillNats => {
            let mut nats = world.nats.lock().await;
            let ran = nats.kill();
            tokio::time::sleep(span).await;
            nats.run().await?;
            ran
        }
        FaultKind::WipeNats => {
            let mut nats = world.nats.lock().await;
            let (acknowledged, began_us) = (world.acknowledged().await, now_us());
            let ran = nats.kill();
            nats.wipe()?;
            world.note_wipe(Wipe { began_us, ended_us: now_us(), acknowledged });
            tokio::time::sleep(span).await;
            nats.run().await?;
            ran
        }
        FaultKind::FillNats => {
            // It may be killed meanwhile, and is emptied by the healing then.
            let filled = servers::fill(&world.nats_url).await.is_ok();
            tokio::time::sleep(span).await;
            let _ = servers::empty(&world.nats_url).await;
            filled
        }
        // Nobody starts it meanwhile: it could not.
        FaultKind::FillDisk => world.nats.lock().await.fill_disk(span).await?,
        FaultKind::Break(who, far, line) => {
            let before = world.fleet.broken_connections(who, far);
            world.fleet.set_line(who, far, Some(line));
            tokio::time::sleep(span).await;
            world.fleet.set_line(who, far, None);
            world.fleet.broken_connections(who, far) > before
        }
        FaultKind::Sandbox(fault, percent) => {
            let rule = world.sandbox.fault_rule(&rule(fault, percent)).await?;
            tokio::time::sleep(span).await;
            let met = world.sandbox.hits(rule).await? > 0;
            world.sandbox.mend(rule).await?;
            met
        }
    };
    if broken && let Some(who) = disturbed(kind) {
        world.note_disturbance(who, began_us);
    }
    if broken && fails_calls(kind) {
        world.note_call_fault(began_us);
    }
    Ok(broken)
}

/// Whether a call to the channel may fail by it: at the channel, on its line, or because whoever waits for the answer is
/// stopped and finds its time used up. A 429 is no failure: it burns no attempt.
fn fails_calls(kind: FaultKind) -> bool {
    match kind {
        FaultKind::Sandbox(fault, _) => fault != SandboxFault::Throttles,
        FaultKind::Break(_, Far::Channel, _) => true,
        FaultKind::Stop(who) => who.role() == "dispatcher",
        _ => false,
    }
}

/// Whom it keeps from telling of its calls, or from ending them: somebody, or with `Some(None)` everybody.
fn disturbed(kind: FaultKind) -> Option<Option<Who>> {
    match kind {
        FaultKind::Stop(who) => Some(Some(who)),
        FaultKind::Break(who, Far::Postgres | Far::Channel, _) => Some(who),
        FaultKind::CrashPostgres | FaultKind::RestartPostgres | FaultKind::StopPostgres => Some(None),
        _ => None,
    }
}

/// The fault as the sandbox is told of it.
fn rule(fault: SandboxFault, percent: u32) -> Value {
    let mut rule = match fault {
        SandboxFault::Throttles => json!({ "kind": "rate_limited", "retry_after_s": 1, "applied": "account" }),
        SandboxFault::Fails => json!({ "kind": "status", "code": 503 }),
        SandboxFault::Hangs => json!({ "kind": "hang", "seconds": 6, "apply": true }),
        SandboxFault::LosesAnswers => json!({ "kind": "cut_after" }),
        SandboxFault::Closes => json!({ "kind": "cut_before" }),
        SandboxFault::Garbles => json!({ "kind": "malformed_json" }),
        SandboxFault::ForgetsTokens => json!({ "kind": "expired_token" }),
        SandboxFault::IsSlow => json!({ "kind": "latency", "min_ms": 50, "max_ms": 1_500 }),
    };
    rule["probability"] = json!(f64::from(percent) / 100.0);
    rule
}
