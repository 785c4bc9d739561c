//! `target show`: the target as the journal has it, and what the dispatchers' tables say now.

use anyhow::Context;
use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use serde::Serialize;

use super::health::last;
use super::shape::{KnownTarget, Listings, look};
use crate::cli::output::{Cell, Out, optional, text, words};
use crate::cli::session::Session;
use crate::cli::times::{moment, optional_moment};
use crate::views::circuit::{self, OpenCircuit};
use crate::views::health::{self, Health};
use crate::views::queue::{LOGIN, PAUSED};
use crate::views::targets::shown_health;
use crate::views::windows::{self, ScopeWindow};

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    known: KnownTarget,
    health_detail: Option<Health>,
    circuit: Option<OpenCircuit>,
    windows: Vec<ScopeWindow>,
}

pub(super) async fn show(session: &Session, target_id: TargetId) -> anyhow::Result<()> {
    let pool = session.postgres().await?;
    let syncing = session.syncing(&pool);
    let found = look(&pool, syncing.commands(), &[target_id]).await;
    let mut found = found.with_context(|| format!("target {target_id}"))?;
    let known = found.pop().context("one target is one answer")?;
    let scopes = [known.target.target_scope().to_string(), known.target.account_scope().to_string()];
    let mut windows = windows::of(&mut *pool.acquire().await?, &scopes).await?;
    windows.extend(windows::of_egress(&pool).await?);
    let circuit = circuit::open(&pool, target_id).await?;
    let health_detail = health::now(&mut *pool.acquire().await?, target_id, None).await?;
    let shown = Shown { known, health_detail, circuit, windows };
    if session.out.is_json() { session.out.json(&shown) } else { print(session.out, &shown) }
}

fn print(out: Out, shown: &Shown) -> anyhow::Result<()> {
    let (target, known) = (&shown.known.target, &shown.known.known);
    let because = |reason: &Option<String>| reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    let health = shown.health_detail.as_ref();
    let health_now = shown_health(target.health.as_str(), target.state());
    let why = health.filter(|_| health_now == target.health.as_str());
    let (queue, listings) = (&known.queue, &known.listings);
    out.record(&[
        ("target", target.target_id.to_string()),
        ("name", target.name.clone()),
        ("org", target.org_id.to_string()),
        ("account", target.account_id.to_string()),
        ("channel", format!("{} at {}, account {}", target.channel, target.base_url, target.channel_account)),
        ("credential", target.credential.to_string()),
        ("limit", target.rate_limit.to_string()),
        ("account limit", target.account_rate_limit.map(|limit| limit.to_string()).unwrap_or_default()),
        ("state", format!("{}{}", words(target.state()), because(&known.lifecycle_reason))),
        ("health", format!("{health_now}{}", why.map(|h| because(&h.reason)).unwrap_or_default())),
        (PAUSED, known.paused().unwrap_or_default()),
        ("circuit", shown.circuit.as_ref().map(|open| format!("open: {}", open.words())).unwrap_or_default()),
        (LOGIN, known.login.map(|login| login.words()).unwrap_or_default()),
        ("last success", health.map(|h| last(h.last_success_at, h.last_success_of.as_deref())).unwrap_or_default()),
        ("last failure", health.map(|h| last(h.last_failure_at, h.last_failure_of.as_deref())).unwrap_or_default()),
        ("last error", health.and_then(|h| h.last_error.clone()).unwrap_or_default()),
        ("listings", counts(listings)),
        ("queue", format!("{} waiting, {} due, {} under way", queue.waiting, queue.due, queue.under_way)),
        ("oldest", optional_moment(queue.behind_since)),
    ])?;
    if shown.windows.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let rows = shown.windows.iter().map(cells).collect();
    out.table(&["window", "in use", "of", "per", "next free", "paused until"], rows, "")
}

fn counts(listings: &Listings) -> String {
    let left = match listings.target_deleted {
        0 => String::new(),
        n => format!("{n} left behind by the deletion, "),
    };
    format!("{left}{} active, {} paused, {} unlinked", listings.active, listings.paused, listings.unlinked)
}

/// When a call can be made again, where it cannot be made now: a slot has to come back, or a pause to end.
fn next_free(window: &ScopeWindow) -> Option<DateTime<Utc>> {
    window.next_free_at.filter(|_| window.is_full()).max(window.paused_until)
}

fn cells(window: &ScopeWindow) -> Vec<Cell> {
    vec![
        text(&window.scope),
        optional(window.requests.and(window.in_use)),
        text(window.requests.map_or_else(|| "no limit".to_owned(), |n| n.to_string())),
        text(window.window_ms.map_or_else(String::new, |ms| format!("{}s", f64::from(ms) / 1000.0))),
        text(next_free(window).map_or_else(|| "now".to_owned(), moment)),
        text(optional_moment(window.paused_until)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_can_be_made_now_unless_every_slot_is_taken_or_the_channel_asked_for_a_pause() {
        let at = |s| DateTime::from_timestamp(s, 0);
        let next = |in_use, next_free_at, paused_until| {
            let (requests, window_ms, in_use) = (Some(12), Some(10_000), Some(in_use));
            let scope = "target:1".to_owned();
            next_free(&ScopeWindow { scope, requests, window_ms, in_use, next_free_at, paused_until, withheld: None })
        };
        assert_eq!(next(0, None, None), None);
        assert_eq!(next(3, at(5), None), None);
        assert_eq!(next(12, at(5), None), at(5));
        assert_eq!(next(3, at(5), at(9)), at(9));
        assert_eq!(next(12, at(20), at(9)), at(20));
    }
}
