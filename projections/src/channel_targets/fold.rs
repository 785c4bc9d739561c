//! What each event does to the row of its target.

use domain::recorded::{ChannelEvent, Recorded};
use domain::target::bounds::is_same_host;
use domain::target::{Health, Lifecycle, TargetEvent};
use domain::window::RateLimit;

use super::rows::TargetRow;
use crate::column::integer;
use crate::error::Error;
use crate::sequence::is_next;
use crate::working::{Changes, Working};

pub(super) fn fold(
    projection: &'static str,
    mut rows: Working<TargetRow>,
    events: &[&Recorded],
) -> Result<Changes<TargetRow>, Error> {
    for event in events {
        let version = rows.get(event.aggregate_id).map_or(0, |row| row.version);
        let ChannelEvent::Target(what) = &event.event else { continue };
        if !is_next(projection, event, version)? {
            continue;
        }
        if let Some(row) = created(event, what) {
            rows.put(event.aggregate_id, row);
        } else if let Some(row) = rows.change(event.aggregate_id) {
            change(row, event, what);
        }
    }
    Ok(rows.into_changes())
}

fn created(event: &Recorded, what: &TargetEvent) -> Option<TargetRow> {
    let TargetEvent::TargetCreated {
        target_id,
        org_id,
        account_id,
        name,
        channel,
        base_url,
        channel_account,
        credential,
        rate_limit,
        account_rate_limit,
    } = what
    else {
        return None;
    };
    let (account_requests, account_window_ms) = limit_columns(*account_rate_limit);
    Some(TargetRow {
        target_id: target_id.0,
        org_id: org_id.to_string(),
        account_id: account_id.to_string(),
        name: name.clone(),
        channel: channel.as_str().to_owned(),
        base_url: base_url.clone(),
        channel_account: channel_account.clone(),
        credential: credential.as_str().to_owned(),
        requests: integer(rate_limit.requests()),
        window_ms: integer(rate_limit.window_ms()),
        account_requests,
        account_window_ms,
        lifecycle: Lifecycle::Active.as_str().to_owned(),
        lifecycle_reason: None,
        health: Health::Unknown.as_str().to_owned(),
        health_since: event.recorded_at,
        version: event.sequence,
        created_by: event.metadata.actor.name.clone(),
        created_at: event.recorded_at,
        updated_at: event.recorded_at,
        position: event.position.0,
        host_position: None,
    })
}

fn limit_columns(limit: Option<RateLimit>) -> (Option<i32>, Option<i32>) {
    (limit.map(|limit| integer(limit.requests())), limit.map(|limit| integer(limit.window_ms())))
}

fn change(row: &mut TargetRow, event: &Recorded, what: &TargetEvent) {
    match what {
        TargetEvent::TargetCreated { .. } => {}
        TargetEvent::TargetConfigured { name, base_url, account_rate_limit } => {
            if !is_same_host(&row.base_url, base_url) {
                row.host_position = Some(event.position.0);
            }
            row.name.clone_from(name);
            row.base_url.clone_from(base_url);
            (row.account_requests, row.account_window_ms) = limit_columns(*account_rate_limit);
        }
        TargetEvent::RateLimitChanged { rate_limit } => {
            row.requests = integer(rate_limit.requests());
            row.window_ms = integer(rate_limit.window_ms());
        }
        TargetEvent::CredentialRotated { credential } => {
            credential.as_str().clone_into(&mut row.credential);
            // New credentials have not been tried yet.
            set_health(row, event, Health::Unknown);
        }
        TargetEvent::TargetPaused { reason } => set_lifecycle(row, Lifecycle::Paused, Some(reason)),
        TargetEvent::TargetResumed {} => set_lifecycle(row, Lifecycle::Active, None),
        TargetEvent::TargetDeleted { reason } => set_lifecycle(row, Lifecycle::Deleted, Some(reason)),
        TargetEvent::HealthChanged { to, .. } => set_health(row, event, *to),
    }
    row.version = event.sequence;
    row.updated_at = event.recorded_at;
    row.position = event.position.0;
}

fn set_lifecycle(row: &mut TargetRow, lifecycle: Lifecycle, reason: Option<&String>) {
    lifecycle.as_str().clone_into(&mut row.lifecycle);
    row.lifecycle_reason = reason.cloned();
}

fn set_health(row: &mut TargetRow, event: &Recorded, health: Health) {
    if row.health != health.as_str() {
        health.as_str().clone_into(&mut row.health);
        row.health_since = event.recorded_at;
    }
}
