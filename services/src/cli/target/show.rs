//! `target show`: the settings as the journal has them, and what the dispatchers' tables say now.

use anyhow::Context;
use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use serde::Serialize;
use sqlx::FromRow;

use super::shape::{Listings, Target, look};
use crate::cli::output::{Cell, Out, text};
use crate::cli::session::Session;
use crate::cli::span::{moment, optional_moment};
use crate::views::health::{self, Health};

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    target: Target,
    health_detail: Option<Health>,
    windows: Vec<Window>,
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

const WINDOWS: &str = "
SELECT r.scope, r.requests, r.window_ms,
    count(s.slot) FILTER (WHERE s.free_at > now() AND s.slot <= r.requests) AS in_use,
    min(s.free_at) FILTER (WHERE s.free_at > now() AND s.slot <= r.requests) AS next_free_at,
    CASE WHEN r.paused_until > now() AND isfinite(r.paused_until) THEN r.paused_until END AS paused_until
FROM rate_scopes AS r LEFT JOIN rate_slots AS s ON s.scope = r.scope
WHERE r.scope = ANY($1) GROUP BY r.scope ORDER BY r.scope DESC";

pub(super) async fn show(session: &Session, target_id: TargetId) -> anyhow::Result<()> {
    let pool = session.postgres().await?;
    let syncing = session.syncing(&pool);
    let found = look(&pool, syncing.commands(), &[target_id]).await;
    let mut found = found.with_context(|| format!("target {target_id}"))?;
    let target = found.pop().context("one target is one answer")?;
    let scopes = [target.settings.target_scope().to_string(), target.settings.account_scope().to_string()];
    let windows = sqlx::query_as(WINDOWS).bind(&scopes[..]).fetch_all(&pool).await?;
    let shown =
        Shown { target, health_detail: health::now(&mut *pool.acquire().await?, target_id, None).await?, windows };
    if session.out.is_json() { session.out.json(&shown) } else { print(session.out, &shown) }
}

fn print(out: Out, shown: &Shown) -> anyhow::Result<()> {
    let (s, known) = (&shown.target.settings, &shown.target.known);
    let because = |reason: &Option<String>| reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    let health = shown.health_detail.as_ref();
    let (queue, listings) = (&known.queue, &known.listings);
    out.record(&[
        ("target", s.target_id.to_string()),
        ("name", s.name.clone()),
        ("org", s.org_id.to_string()),
        ("account", s.account_id.to_string()),
        ("channel", format!("{} at {}, account {}", s.channel, s.base_url, s.channel_account)),
        ("credential", s.credential.to_string()),
        ("limit", s.rate_limit.to_string()),
        ("account limit", s.account_rate_limit.map(|limit| limit.to_string()).unwrap_or_default()),
        ("state", format!("{}{}", s.lifecycle.as_str(), because(&known.lifecycle_reason))),
        ("health", format!("{}{}", s.health.as_str(), health.map(|h| because(&h.reason)).unwrap_or_default())),
        ("last success", optional_moment(health.and_then(|h| h.last_success_at))),
        ("last failure", optional_moment(health.and_then(|h| h.last_failure_at))),
        ("last error", health.and_then(|h| h.last_error.clone()).unwrap_or_default()),
        ("listings", counts(listings)),
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

fn counts(listings: &Listings) -> String {
    let left = match listings.target_deleted {
        0 => String::new(),
        n => format!("{n} left behind by the deletion, "),
    };
    format!("{left}{} active, {} paused, {} unlinked", listings.active, listings.paused, listings.unlinked)
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
