//! `target show`: the settings as the journal has them, and what the dispatchers' tables say now.

use anyhow::Context;
use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use domain::target::{Settings, TargetError};
use serde::Serialize;
use sqlx::{FromRow, PgPool};

use super::health::{Health, health_of};
use crate::cli::output::{Cell, Out, text};
use crate::cli::session::Session;
use crate::cli::span::{moment, optional_moment};

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    settings: Settings,
    lifecycle_reason: Option<String>,
    health_detail: Option<Health>,
    windows: Vec<Window>,
    queue: Queue,
    listings: Listings,
}

/// The use of a window at this moment.
#[derive(Debug, FromRow, Serialize)]
struct Window {
    scope: String,
    requests: Option<i32>,
    window_ms: Option<i32>,
    in_use: i64,
    next_free_at: Option<DateTime<Utc>>,
    paused_until: Option<DateTime<Utc>>,
}

#[derive(Debug, FromRow, Serialize)]
struct Queue {
    waiting: i64,
    due: i64,
    under_way: i64,
    oldest_requested_at: Option<DateTime<Utc>>,
}

#[derive(Debug, FromRow, Serialize)]
struct Listings {
    active: i64,
    paused: i64,
    unlinked: i64,
}

const WINDOWS: &str = "
SELECT r.scope, r.requests, r.window_ms,
    count(s.slot) FILTER (WHERE s.free_at > now() AND s.slot <= r.requests) AS in_use,
    min(s.free_at) FILTER (WHERE s.free_at > now() AND s.slot <= r.requests) AS next_free_at,
    CASE WHEN r.paused_until > now() AND isfinite(r.paused_until) THEN r.paused_until END AS paused_until
FROM rate_scopes AS r LEFT JOIN rate_slots AS s ON s.scope = r.scope
WHERE r.scope = ANY($1) GROUP BY r.scope ORDER BY r.scope DESC";

const QUEUE: &str = "
SELECT count(*) AS waiting, count(*) FILTER (WHERE q.due_at <= now()) AS due,
    count(d.listing_id) AS under_way, min(q.requested_at) AS oldest_requested_at
FROM sync_queue AS q
LEFT JOIN dispatch_leases AS d ON d.listing_id = q.listing_id AND NOT d.done AND d.lease_until > now()
WHERE q.target_id = $1";

const LISTINGS: &str = "
SELECT count(*) FILTER (WHERE state = 'active') AS active, count(*) FILTER (WHERE state = 'paused') AS paused,
    count(*) FILTER (WHERE state = 'unlinked') AS unlinked
FROM channel_listings WHERE target_id = $1";

async fn look(pool: &PgPool, settings: Settings) -> anyhow::Result<Shown> {
    let id = settings.target_id;
    let scopes = [settings.target_scope().to_string(), settings.account_scope().to_string()];
    let reason = sqlx::query_scalar("SELECT lifecycle_reason FROM channel_targets WHERE target_id = $1");
    let reason: Option<Option<String>> = reason.bind(id.0).fetch_optional(pool).await?;
    Ok(Shown {
        lifecycle_reason: reason.flatten(),
        health_detail: health_of(pool, id).await?,
        windows: sqlx::query_as(WINDOWS).bind(&scopes[..]).fetch_all(pool).await?,
        queue: sqlx::query_as(QUEUE).bind(id.0).fetch_one(pool).await?,
        listings: sqlx::query_as(LISTINGS).bind(id.0).fetch_one(pool).await?,
        settings,
    })
}

pub(super) async fn show(session: &Session, target_id: TargetId) -> anyhow::Result<()> {
    let pool = session.postgres().await?;
    let whose = || format!("target {target_id}");
    let target = session.syncing(&pool).commands().load_target(target_id).await.with_context(whose)?;
    let settings = target.settings().cloned().ok_or(TargetError::NotFound).map_err(anyhow::Error::new);
    let shown = look(&pool, settings.with_context(whose)?).await?;
    if session.out.is_json() { session.out.json(&shown) } else { print(session.out, &shown) }
}

fn print(out: Out, shown: &Shown) -> anyhow::Result<()> {
    let s = &shown.settings;
    let because = |reason: &Option<String>| reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    let health = shown.health_detail.as_ref();
    let (queue, listings) = (&shown.queue, &shown.listings);
    out.record(&[
        ("target", s.target_id.to_string()),
        ("name", s.name.clone()),
        ("org", s.org_id.to_string()),
        ("account", s.account_id.to_string()),
        ("channel", format!("{} at {}, account {}", s.channel, s.base_url, s.channel_account)),
        ("credential", s.credential.to_string()),
        ("limit", s.rate_limit.to_string()),
        ("account limit", s.account_rate_limit.map(|limit| limit.to_string()).unwrap_or_default()),
        ("state", format!("{}{}", s.lifecycle.as_str(), because(&shown.lifecycle_reason))),
        ("health", format!("{}{}", s.health.as_str(), health.map(|h| because(&h.reason)).unwrap_or_default())),
        ("last success", optional_moment(health.and_then(|h| h.last_success_at))),
        ("last failure", optional_moment(health.and_then(|h| h.last_failure_at))),
        ("last error", health.and_then(|h| h.last_error.clone()).unwrap_or_default()),
        ("listings", format!("{} active, {} paused, {} unlinked", listings.active, listings.paused, listings.unlinked)),
        ("queue", format!("{} waiting, {} due, {} under way", queue.waiting, queue.due, queue.under_way)),
        ("oldest", optional_moment(queue.oldest_requested_at)),
    ])?;
    if shown.windows.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let rows = shown.windows.iter().map(Window::cells).collect();
    out.table(&["window", "in use", "of", "per", "next free", "paused until"], rows, "")
}

impl Window {
    fn cells(&self) -> Vec<Cell> {
        vec![
            text(&self.scope),
            text(self.in_use),
            text(self.requests.map_or_else(|| "no limit".to_owned(), |n| n.to_string())),
            text(self.window_ms.map_or_else(String::new, |ms| format!("{}s", f64::from(ms) / 1000.0))),
            text(self.next_free_at.map_or_else(|| "now".to_owned(), moment)),
            text(optional_moment(self.paused_until)),
        ]
    }
}
