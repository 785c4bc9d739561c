//! What pushes and checks tell about their target. Only a change becomes an event.

use std::collections::HashMap;
use std::sync::Mutex;

use adapters::dispatch::{BY_CIRCUIT, BY_TURN};
use domain::call::CallPurpose;
use domain::ids::TargetId;
use domain::metadata::{Actor, Metadata};
use domain::outcome::OutcomeClass;
use domain::port::{CheckReport, PushReport};
use domain::target::{Health, Target, TargetCommand};
use uuid::Uuid;

use super::Shared;

/// Failures in a row after which a target counts as degraded, and as unreachable if it never answered.
const DEGRADED_AFTER: u32 = 3;

const FORBIDDEN: u16 = 403;

/// How many pushes in a row failed, per target, in this process.
#[derive(Debug, Default)]
pub(super) struct FailureCounts(Mutex<HashMap<TargetId, u32>>);

impl FailureCounts {
    fn note(&self, target: TargetId, failed: bool) -> u32 {
        let mut counts = self.0.lock().expect("nobody panics while holding this lock");
        if failed {
            let count = counts.entry(target).or_default();
            *count += 1;
            *count
        } else {
            counts.remove(&target);
            0
        }
    }
}

/// What a push tells about its target. Only a change becomes an event.
pub(super) async fn report(shared: &Shared, target: &Target, metadata: &Metadata, report: &PushReport) {
    let failed = failed(report) == Some(true);
    let failures = shared.failures.note(target.target_id, failed);
    let answered = report.calls.iter().any(|call| call.status.is_some());
    let refusal = report.new_secret_refused.as_deref();
    let health = match report.class {
        OutcomeClass::Unauthorised if report.credentials_refused => Health::Unauthorised,
        _ if failures >= DEGRADED_AFTER && !answered => Health::Unreachable,
        // However well it goes with the previous one: what follows when that serves no more should surprise nobody.
        _ if refusal.is_some() => Health::Degraded,
        OutcomeClass::Throttled | OutcomeClass::Stopped => return,
        _ if failures >= DEGRADED_AFTER => Health::Degraded,
        _ if failed => return,
        _ if report.calls.is_empty() => return,
        // It was given no token, and not told that the credentials are wrong: nobody knows whether they are taken.
        _ if !report.class.succeeded() && asked_for_a_token_last(report) => return,
        _ => Health::Healthy,
    };
    let metadata = Metadata { unit_id: None, ..metadata.clone() };
    let detail = refusal.filter(|_| health == Health::Degraded).or(report.detail.as_deref());
    change(shared, target, &metadata, health, detail).await;
}

fn asked_for_a_token_last(report: &PushReport) -> bool {
    report.calls.last().is_some_and(|call| call.purpose == CallPurpose::Token)
}

/// Whether a push failed in a way that counts for the target's circuit; `None` where it tells nothing of its target.
pub(super) fn failed(report: &PushReport) -> Option<bool> {
    match report.class {
        // Refused, with a token that may have been forgotten: the target itself answers.
        OutcomeClass::Transient if report.calls.last().is_some_and(|call| call.status == Some(FORBIDDEN)) => None,
        OutcomeClass::Transient | OutcomeClass::Unknown => Some(true),
        OutcomeClass::Throttled | OutcomeClass::Stopped | OutcomeClass::Unauthorised => None,
        _ if report.calls.is_empty() => None,
        _ => Some(false),
    }
}

/// What a check tells about its target, which has failed so often in a row.
pub(super) async fn report_check(
    shared: &Shared,
    target: &Target,
    asked_by: &str,
    traceparent: &str,
    report: &CheckReport,
    failures: u32,
) {
    let answered = report.calls.iter().any(|call| call.status.is_some());
    let health = match report.class {
        OutcomeClass::Accepted | OutcomeClass::AcceptedWithRejections => Health::Healthy,
        OutcomeClass::Unauthorised if report.credentials_refused => Health::Unauthorised,
        OutcomeClass::Unauthorised | OutcomeClass::Rejected => Health::Degraded,
        OutcomeClass::Transient | OutcomeClass::Unknown if failures < DEGRADED_AFTER => return,
        OutcomeClass::Transient | OutcomeClass::Unknown if answered => Health::Degraded,
        OutcomeClass::Transient | OutcomeClass::Unknown => Health::Unreachable,
        OutcomeClass::Throttled | OutcomeClass::Stopped => return,
    };
    if health == Health::Healthy {
        shared.failures.note(target.target_id, false);
    }
    let metadata = Metadata {
        org_id: target.org_id.clone(),
        account_id: target.account_id.clone(),
        target_id: target.target_id,
        unit_id: None,
        actor: Actor::service("health"),
        on_behalf_of: (![BY_TURN, BY_CIRCUIT].contains(&asked_by)).then(|| asked_by.to_owned()),
        source: None,
        correlation_id: Uuid::now_v7(),
        causation_id: None,
        traceparent: Some(traceparent.to_owned()),
    };
    change(shared, target, &metadata, health, report.detail.as_deref()).await;
}

async fn change(shared: &Shared, target: &Target, metadata: &Metadata, health: Health, detail: Option<&str>) {
    if health == target.health {
        return;
    }
    let reason = detail.unwrap_or("it answers").to_owned();
    let (from, to) = (target.health.as_str(), health.as_str());
    let (org_id, target_id, target_name) = (&target.org_id, target.target_id, &target.name);
    let credential_epoch = target.credential_epoch;
    let command = TargetCommand::ReportHealth { health, reason: reason.clone(), credential_epoch };
    match shared.commands.target(target_id, command, metadata).await {
        Ok(Some(_)) if health == Health::Healthy => {
            tracing::info!(%org_id, %target_id, target_name, from, to, reason, "a target's health changed");
        }
        Ok(Some(_)) => tracing::warn!(%org_id, %target_id, target_name, from, to, reason, "a target's health changed"),
        // What was seen changes nothing, or another has told it.
        Ok(None) => {}
        Err(error) => tracing::warn!(%target_id, %error, "failed to report a target's health"),
    }
}
