//! What each event tells of its target's health.
//!
//! A refusal of content says that the target answers, and a rate limit that it is busy: neither counts as a failure.

use chrono::{DateTime, Utc};
use domain::listing::{ListingEvent, SyncAttempt};
use domain::outcome::OutcomeClass;
use domain::recorded::{ChannelEvent, Recorded};
use domain::target::{Health, TargetEvent};

use super::rows::{Change, HealthRow, Told, told};
use crate::deleted_targets::target_of;
use crate::working::Working;

/// What is to be stored.
pub(super) struct Folded<'a> {
    pub(super) rows: Vec<HealthRow>,
    pub(super) changes: Vec<Change<'a>>,
}

pub(super) fn fold(mut rows: Working<HealthRow>, batch: &[Recorded]) -> Folded<'_> {
    let mut changes = Vec::new();
    for event in batch {
        match &event.event {
            ChannelEvent::Target(what) => changes.extend(target(&mut rows, event, what)),
            ChannelEvent::Listing(what) => listing(&mut rows, event, what),
        }
    }
    Folded { rows: rows.into_changes().upserts, changes }
}

fn target<'a>(rows: &mut Working<HealthRow>, event: &'a Recorded, what: &'a TargetEvent) -> Option<Change<'a>> {
    match what {
        TargetEvent::TargetCreated { target_id, org_id, account_id, .. } => {
            let row = HealthRow {
                target_id: target_id.0,
                org_id: org_id.to_string(),
                account_id: account_id.to_string(),
                health: Health::Unknown.as_str().to_owned(),
                since: event.recorded_at,
                reason: None,
                last_success_at: None,
                last_failure_at: None,
                last_error: None,
                consecutive_failures: 0,
                position: event.position.0,
            };
            rows.put(target_id.0, row);
            None
        }
        TargetEvent::HealthChanged { to, reason, .. } => change(rows, event, *to, reason),
        TargetEvent::CredentialRotated { .. } => change(rows, event, Health::Unknown, "the credential was rotated"),
        TargetEvent::TargetConfigured { .. }
        | TargetEvent::RateLimitChanged { .. }
        | TargetEvent::TargetPaused { .. }
        | TargetEvent::TargetResumed {}
        | TargetEvent::TargetDeleted { .. } => None,
    }
}

fn change<'a>(rows: &mut Working<HealthRow>, event: &'a Recorded, to: Health, reason: &'a str) -> Option<Change<'a>> {
    if rows.get(event.aggregate_id)?.health == to.as_str() {
        return None;
    }
    let row = rows.change(event.aggregate_id)?;
    let from = std::mem::replace(&mut row.health, to.as_str().to_owned());
    row.since = event.recorded_at;
    row.reason = Some(reason.to_owned());
    row.position = event.position.0;
    Some(Change { event, from, to, reason })
}

fn listing(rows: &mut Working<HealthRow>, event: &Recorded, what: &ListingEvent) {
    match told(what) {
        Some(Told::Works(attempt)) => succeeded(rows, event, attempt),
        Some(Told::Fails(attempt, class)) => failed(rows, event, attempt, class),
        None => {}
    }
}

fn succeeded(rows: &mut Working<HealthRow>, event: &Recorded, attempt: &SyncAttempt) {
    if let Some(row) = rows.change(target_of(event)) {
        row.last_success_at = later(row.last_success_at, attempt);
        row.consecutive_failures = 0;
        row.position = event.position.0;
    }
}

fn failed(rows: &mut Working<HealthRow>, event: &Recorded, attempt: &SyncAttempt, class: OutcomeClass) {
    if let Some(row) = rows.change(target_of(event)) {
        row.last_failure_at = later(row.last_failure_at, attempt);
        row.last_error = Some(attempt.detail.clone().unwrap_or_else(|| class.as_str().to_owned()));
        row.consecutive_failures = row.consecutive_failures.saturating_add(1);
        row.position = event.position.0;
    }
}

fn later(before: Option<DateTime<Utc>>, attempt: &SyncAttempt) -> Option<DateTime<Utc>> {
    before.max(Some(attempt.finished_at))
}
