//! `target health`: how the channel answers now, every change before, its checks, who asked for checks and for looks for drift, and who put
//! a value in the place of its secret.

use chrono::{DateTime, Utc};
use clap::Args;
use domain::ids::TargetId;
use domain::recorded::ChannelEvent;
use domain::target::TargetEvent;
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;

use crate::cli::output::{Cell, optional, state, text, words};
use crate::cli::session::{Session, known_target};
use crate::cli::times::moment;
use crate::views::by::with;
use crate::views::circuit;
use crate::views::health::{self, HealthChange, HealthCheck};
use crate::views::history::{NoHistory, TARGET, newest_of_types};
use crate::views::targets::shown_health;
use crate::views::visits::{self, Visit};

#[derive(Debug, Args)]
pub(in crate::cli) struct HealthArgs {
    /// The target
    #[arg(value_name = "TARGET")]
    target_id: TargetId,
    /// How many changes, checks and visits at most, the newest first
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

impl HealthArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let id = self.target_id;
        let target = known_target(session.syncing(&pool).commands(), id).await?;
        let circuit = circuit::open(&pool, id).await?;
        let mut connection = pool.acquire().await?;
        let now = health::now(&mut connection, id, None).await?;
        let changes = health::changes(&mut connection, id, None, self.limit).await?;
        let checks = health::checks(&mut connection, id, None, self.limit).await?;
        let visits = visits::visits(&mut connection, id, None, None, self.limit).await?;
        let deleted = deleted(&mut connection, id).await?;
        if session.out.is_json() {
            let health = target.health;
            return session.out.json(&json!({
                "target_id": id, "health": health, "now": now, "circuit": circuit, "changes": changes, "checks": checks,
                "visits": visits, "state": target.state(), "deleted": deleted,
            }));
        }
        let health_now = shown_health(target.health.as_str(), target.state());
        let mut fields = vec![("target", id.to_string()), ("health", health_now.to_owned())];
        if let Some(Deleted { at, by, reason }) = &deleted {
            fields.extend([("since", moment(*at)), ("reason", reason.clone()), ("by", by.clone())]);
        }
        if let Some(now) = now {
            let (since, reason) = (moment(now.since), now.reason.unwrap_or_default());
            // Of one that is deleted they are no longer so.
            match deleted {
                Some(_) => fields.push(("health before", said(&now.health, &since, &reason))),
                None => fields.extend([("since", since), ("reason", reason)]),
            }
            fields.extend([
                ("last success", last(now.last_success_at, now.last_success_of.as_deref())),
                ("last failure", last(now.last_failure_at, now.last_failure_of.as_deref())),
                ("last error", now.last_error.unwrap_or_default()),
                ("sync attempts failed in a row", optional_count(now.consecutive_failures)),
            ]);
        }
        if let Some(circuit) = circuit {
            fields.push(("circuit", format!("open: {}", circuit.words())));
        }
        session.out.record(&fields)?;
        if !changes.is_empty() {
            session.out.line("")?;
            let rows = changes.iter().map(cells).collect();
            session.out.table(&["position", "at", "from", "to", "reason"], rows, "")?;
        }
        if !checks.is_empty() {
            session.out.line("")?;
            let header = ["checked at", "asked by", "class", "status", "took ms", "detail"];
            session.out.table(&header, checks.iter().map(check_cells).collect(), "")?;
        }
        if visits.is_empty() {
            return Ok(());
        }
        session.out.line("")?;
        let header = ["done at", "what", "by", "of listing", "calls"];
        session.out.table(&header, visits.iter().map(visit_cells).collect(), "")
    }
}

/// That a target is deleted.
#[derive(Debug, Serialize)]
struct Deleted {
    at: DateTime<Utc>,
    by: String,
    reason: String,
}

async fn deleted(connection: &mut PgConnection, id: TargetId) -> Result<Option<Deleted>, NoHistory> {
    let deletion = newest_of_types(connection, TARGET, id.0, &["TargetDeleted"]).await?;
    Ok(deletion.and_then(|deletion| match deletion.event {
        ChannelEvent::Target(TargetEvent::TargetDeleted { reason }) => {
            Some(Deleted { at: deletion.recorded_at, by: deletion.metadata.actor.name, reason })
        }
        _ => None,
    }))
}

/// How it answered, since when, and why.
fn said(health: &str, since: &str, reason: &str) -> String {
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("{health} since {since}{why}")
}

/// A last success or failure, and what it was one of.
pub(super) fn last(at: Option<DateTime<Utc>>, of: Option<&str>) -> String {
    let of = of.map(|of| format!(" (a {of})")).unwrap_or_default();
    at.map(|at| format!("{}{of}", moment(at))).unwrap_or_default()
}

fn optional_count(count: i32) -> String {
    if count > 0 { count.to_string() } else { String::new() }
}

fn check_cells(check: &HealthCheck) -> Vec<Cell> {
    vec![
        text(moment(check.at)),
        text(with(&check.created_by, check.credential.as_deref(), check.credential_id.as_deref())),
        state(&check.class),
        optional(check.status),
        optional(check.latency_ms),
        optional(check.detail.as_ref()),
    ]
}

fn visit_cells(visit: &Visit) -> Vec<Cell> {
    let by = visit.created_by.as_deref().unwrap_or("-");
    vec![
        text(moment(visit.at)),
        text(words(&visit.kind)),
        text(with(by, visit.credential.as_deref(), visit.credential_id.as_deref())),
        optional(visit.listing_id),
        text(visit.calls),
    ]
}

fn cells(change: &HealthChange) -> Vec<Cell> {
    vec![
        text(change.position),
        text(moment(change.at)),
        state(&change.from_health),
        state(&change.to_health),
        text(&change.reason),
    ]
}
