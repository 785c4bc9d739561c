//! `audit show`: one sync, call by call.

use clap::Args;
use domain::ids::SyncId;
use domain::outcome::SyncOutcome;
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::output::{Cell, Out, optional, state, text};
use crate::cli::session::Session;
use crate::cli::times::{moment, optional_moment};
use crate::views::audit::{CALLS, COLUMNS, Call, Sync, goes_on};
use crate::views::explain::Next;
use crate::views::lacking::parts;
use crate::views::next_attempt::next_attempt;
use crate::views::not_taken::became;

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// The sync
    #[arg(value_name = "SYNC")]
    sync_id: SyncId,
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    sync: Sync,
    /// Another took its place, and an attempt of it that had begun goes on.
    goes_on: bool,
    /// What is next for it, as an explanation says; none once it has ended.
    next: Option<Next>,
    attempts_made: Vec<Call>,
}

impl ShowArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let one = format!(
            "SELECT {COLUMNS} FROM outbound_audit AS a LEFT JOIN channel_targets AS t ON t.target_id = a.target_id
             WHERE a.sync_id = $1"
        );
        let found: Option<Sync> = sqlx::query_as(&one).bind(self.sync_id.0).fetch_optional(&pool).await?;
        let missing = || Failure::Refused(format!("the audit has no sync {} (yet)", self.sync_id));
        let sync = found.ok_or_else(missing)?;
        let attempts_made = sqlx::query_as(CALLS).bind(self.sync_id.0).fetch_all(&pool).await?;
        let goes_on = goes_on(&mut *pool.acquire().await?, self.sync_id.0).await?;
        let next = next_attempt(&session.syncing(&pool), &pool, pool.acquire(), &sync).await?;
        let shown = Shown { sync, goes_on, next, attempts_made };
        if session.out.is_json() { session.out.json(&shown) } else { print(session.out, &shown) }
    }
}

fn print(out: Out, shown: &Shown) -> anyhow::Result<()> {
    let sync = &shown.sync;
    let class = sync.class.as_ref().map(|class| format!(" ({class})")).unwrap_or_default();
    let name = sync.target_name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    out.record(&[
        ("sync", sync.sync_id.to_string()),
        ("listing", sync.listing_id.to_string()),
        ("unit", format!("{} of {} / {}", sync.unit_id.as_deref().unwrap_or("-"), sync.org_id, sync.account_id)),
        ("target", format!("{}{name}", sync.target_id)),
        ("cause", sync.cause.clone()),
        ("reason", sync.reason.clone().unwrap_or_default()),
        ("by", format!("{} ({})", sync.created_by, sync.credential)),
        ("revision", sync.revision.to_string()),
        ("snapshot", sync.snapshot.clone()),
        ("needs", sync.needs.join(", ")),
        ("outcome", format!("{}{class}", sync.outcome)),
        ("detail", sync.detail.clone().unwrap_or_default()),
        ("goes on", goes_on_words(shown)),
        ("superseded by", sync.gave_way_to().map(|id| id.to_string()).unwrap_or_default()),
        ("burned attempts", sync.attempts.to_string()),
        ("requested", moment(sync.requested_at)),
        ("first attempt", optional_moment(sync.first_attempt_at)),
        ("next attempt", shown.next.as_ref().map(Next::brief).unwrap_or_default()),
        ("finished", optional_moment(sync.finished_at.filter(|_| !shown.goes_on))),
        ("correlation", sync.correlation_id.to_string()),
        ("trace", sync.traceparent.clone().unwrap_or_default()),
    ])?;
    let rejected = parts(sync.rejected.clone());
    for part in rejected {
        let value = if part.value.is_empty() { String::new() } else { format!(" ({})", part.value) };
        let what = became(&part, sync.outcome == SyncOutcome::Rejected.as_str());
        out.line(&format!("{what}  {} of {}{value}: {}", part.part, part.section, part.reason))?;
    }
    if shown.attempts_made.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let rows = shown.attempts_made.iter().map(cells).collect();
    out.table(&["at", "for", "call", "status", "ended", "ms", "detail"], rows, "")?;
    for call in &shown.attempts_made {
        if let Some(answer) = &call.answer {
            out.line(&format!("answered  {} {}: {answer}", call.started_at.format("%H:%M:%S%.3fZ"), call.path))?;
        }
    }
    Ok(())
}

fn goes_on_words(shown: &Shown) -> String {
    let words = "an attempt of it that had begun; how that ends, and its calls, are told later";
    if shown.goes_on { words.to_owned() } else { String::new() }
}

fn cells(call: &Call) -> Vec<Cell> {
    let late = if call.late { " (late)" } else { "" };
    vec![
        text(call.started_at.format("%H:%M:%S%.3fZ")),
        text(&call.purpose),
        text(format!("{} {}{late}", call.method, call.path)),
        optional(call.status),
        state(&call.class),
        text(call.duration_ms),
        optional(call.detail.as_ref()),
    ]
}
