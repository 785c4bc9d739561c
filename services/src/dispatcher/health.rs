//! What pushes tell about their target. Only a change becomes an event.

use std::collections::HashMap;
use std::sync::Mutex;

use domain::ids::TargetId;
use domain::metadata::Metadata;
use domain::outcome::OutcomeClass;
use domain::port::PushReport;
use domain::target::{Health, Settings, TargetCommand};

use super::Shared;

/// Failures in a row after which a target counts as degraded, and as unreachable if it never answered.
const DEGRADED_AFTER: u32 = 3;

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
pub(super) async fn report(shared: &Shared, target: &Settings, metadata: &Metadata, report: &PushReport) {
    let failed = matches!(report.class, OutcomeClass::Transient | OutcomeClass::Unknown);
    let failures = shared.failures.note(target.target_id, failed);
    let answered = report.calls.iter().any(|call| call.status.is_some());
    let health = match report.class {
        OutcomeClass::Unauthorised if report.credentials_refused => Health::Unauthorised,
        OutcomeClass::Throttled => return,
        _ if failures >= DEGRADED_AFTER && !answered => Health::Unreachable,
        _ if failures >= DEGRADED_AFTER => Health::Degraded,
        _ if failed => return,
        _ if report.calls.is_empty() => return,
        _ => Health::Healthy,
    };
    if health == target.health {
        return;
    }
    let reason = report.detail.clone().unwrap_or_else(|| "it answers".to_owned());
    tracing::warn!(target = target.name, from = target.health.as_str(), to = health.as_str(), reason, "health");
    let metadata = Metadata { unit_id: None, ..metadata.clone() };
    let credential_epoch = target.credential_epoch;
    let command = TargetCommand::ReportHealth { health, reason, credential_epoch };
    if let Err(error) = shared.commands.target(target.target_id, command, &metadata).await {
        tracing::warn!(target_id = %target.target_id, error = %error, "failed to report a target's health");
    }
}
