//! `queue`: what is still to be sent, target by target, and why it waits.

use std::mem::take;

use chrono::{DateTime, Utc};
use clap::Args;
use domain::channel::Section;
use domain::counted::counted;
use domain::ids::TargetId;
use serde::Serialize;
use serde_json::json;
use sqlx::FromRow;
use uuid::Uuid;

use super::lag::note_lag;
use super::output::{Cell, optional, state, text};
use super::session::Session;
use super::times::{moment, since, span};
use crate::views::attempts::{self, NEXT};
use crate::views::login::{self, LoginWait};
use crate::views::queue::{
    AFTER_ATTEMPT, BEHIND_SINCE, BY_ROW, Closed, FREE, HELD, HELD_BY, IS_DUE, LOGIN, PAUSED, UNDER_WAY, WAITING,
    channel_pauses, status,
};

#[derive(Debug, Args)]
#[command(after_help = "STATUS says why work waits: under way, after an attempt (of an earlier sync of the listing), \
    due (it waits for a slot of the window), later (it is tried again at its time), paused by the channel (it answered \
    429), waits for a login (the channel is not known to take the target's credentials, and such have few logins \
    together), or all that holds it. DUE counts what STATUS calls due. OLDEST and WAITS count from the \
    first change that the channel has not got.\n\n\
    Example:\n  watch -n 2 distribution queue --limit 10")]
pub(super) struct QueueArgs {
    /// Of one target only
    #[arg(long)]
    target: Option<TargetId>,
    /// How many listings at most, in the order in which they are due
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
}

#[derive(Debug, FromRow, Serialize)]
struct TargetQueue {
    target_id: Uuid,
    org_id: String,
    name: Option<String>,
    waiting: i64,
    /// A slot of the window is all that they lack.
    due: i64,
    under_way: i64,
    slots: Option<i32>,
    slots_in_use: i64,
    held: Option<String>,
    /// `account` or `egress`, where the channel has its calls paused.
    paused_scope: Option<String>,
    paused_until: Option<DateTime<Utc>>,
    /// The login that its due work waits for.
    #[sqlx(skip)]
    login: Option<LoginWait>,
    /// When the target is checked next, where somebody asked for it.
    check_at: Option<DateTime<Utc>>,
    oldest_requested_at: DateTime<Utc>,
    /// Since when the channel has been behind for any of its listings.
    behind_since: DateTime<Utc>,
}

#[derive(Debug, FromRow, Serialize)]
struct Work {
    listing_id: Uuid,
    org_id: String,
    unit_id: Option<String>,
    target_id: Uuid,
    target_name: Option<String>,
    sync_id: Uuid,
    revision: i64,
    needs: Vec<String>,
    /// Attempts that were put off so far, those too that burned none.
    tries: i32,
    /// Which attempt is next, of five.
    attempt: i32,
    status: String,
    /// All that holds it: its status names the first.
    held_by: Vec<String>,
    paused_scope: Option<String>,
    paused_until: Option<DateTime<Utc>>,
    #[sqlx(skip)]
    login: Option<LoginWait>,
    requested_at: DateTime<Utc>,
    /// When the first request was made that the channel has not got: a sync that takes another's place waits since then.
    behind_since: DateTime<Utc>,
    due_at: DateTime<Utc>,
}

fn targets() -> String {
    format!(
        "SELECT q.target_id, min(q.org_id) AS org_id, t.name, count(*) AS waiting,
            count(*) FILTER (WHERE {IS_DUE}) AS due, count(d.listing_id) AS under_way, r.requests AS slots,
            (SELECT count(*) FROM rate_slots AS s WHERE s.scope = r.scope AND s.free_at > now())
                AS slots_in_use,
            {HELD},
            p.paused_scope, p.paused_until,
            CASE WHEN isfinite(k.due_at) THEN k.due_at END AS check_at,
            min(q.requested_at) AS oldest_requested_at, min({BEHIND_SINCE}) AS behind_since
         FROM {WAITING}
         LEFT JOIN rate_scopes AS r ON r.scope = 'target:' || q.target_id
         LEFT JOIN ({}) AS p ON p.target_id = q.target_id
         LEFT JOIN dispatch_checks AS k ON k.target_id = q.target_id
         WHERE $1::uuid IS NULL OR q.target_id = $1
         GROUP BY q.target_id, t.name, t.lifecycle, t.health, o.target_id, k.due_at, r.scope, r.requests,
            p.paused_scope, p.paused_until
         ORDER BY behind_since",
        channel_pauses()
    )
}

fn work() -> String {
    format!(
        "SELECT q.listing_id, q.org_id, l.unit_id, q.target_id, t.name AS target_name, q.sync_id, q.revision, q.needs,
            q.tries, {NEXT}, {BY_ROW}, {HELD_BY}, p.paused_scope, p.paused_until, q.requested_at,
            {BEHIND_SINCE} AS behind_since, q.due_at
         FROM {WAITING} LEFT JOIN ({}) AS p ON p.target_id = q.target_id WHERE $1::uuid IS NULL OR q.target_id = $1
         ORDER BY greatest(q.due_at, q.rank), q.rank LIMIT $2",
        channel_pauses()
    )
}

impl QueueArgs {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        session.must_exist(&pool, self.target).await?;
        note_lag(&pool, "sync_queue").await?;
        let target = self.target.map(|id| id.0);
        let mut targets: Vec<TargetQueue> = sqlx::query_as(&targets()).bind(target).fetch_all(&pool).await?;
        let mut work: Vec<Work> = sqlx::query_as(&work()).bind(target).bind(self.limit).fetch_all(&pool).await?;
        let due: Vec<Uuid> = targets.iter().filter(|target| target.due > 0).map(|target| target.target_id).collect();
        let logins = login::waits(&pool, &due).await?;
        targets.iter_mut().for_each(|target| target.tell(logins.get(&target.target_id)));
        work.iter_mut().for_each(|work| work.tell(logins.get(&work.target_id)));
        if session.out.is_json() {
            return session.out.json(&json!({ "targets": targets, "work": work }));
        }
        let now = Utc::now();
        let header = ["target", "name", "waiting", "due", "under way", "window", "oldest", "held by"];
        let rows: Vec<_> = targets.iter().map(|target| target.cells(now)).collect();
        let total: i64 = targets.iter().map(|target| target.waiting).sum();
        session.out.table(&header, rows, "nothing waits")?;
        if work.is_empty() {
            return Ok(());
        }
        session.out.line(&format!("\n{} of {}:", work.len(), counted(total, "listing")))?;
        let header = ["listing", "unit", "target", "needs", "attempt", "status", "due in", "waits"];
        session.out.table(&header, work.iter().map(|work| work.cells(now)).collect(), "")
    }
}

impl TargetQueue {
    /// What waits for a login lacks more than a slot of the window.
    fn tell(&mut self, login: Option<&LoginWait>) {
        self.login = login.copied();
        self.due = if self.login.is_some() { 0 } else { self.due };
    }

    fn login(&self) -> Option<String> {
        self.login.map(|login| format!("{LOGIN}, not before {}", moment(login.not_before)))
    }

    fn held(&self, now: DateTime<Utc>) -> Option<String> {
        let held = self.held.as_ref()?;
        let check = self.check_at.map(|at| format!(", next check in {}", since(now, at))).unwrap_or_default();
        Some(format!("{held}{check}"))
    }

    fn paused(&self) -> Option<String> {
        let (scope, until) = (self.paused_scope.as_ref()?, self.paused_until?);
        Some(format!("{scope} {PAUSED} until {}", moment(until)))
    }

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        vec![
            text(self.target_id),
            optional(self.name.as_ref()),
            text(self.waiting),
            text(self.due),
            text(self.under_way),
            text(self.slots.map_or_else(|| "-".to_owned(), |slots| format!("{}/{slots}", self.slots_in_use))),
            text(since(self.behind_since, now)),
            optional(self.held(now).or_else(|| self.paused()).or_else(|| self.login())),
        ]
    }
}

/// Sections by names that fit side by side into a column.
fn short(need: &str) -> &str {
    match need {
        "availability" => "avail",
        other => other,
    }
}

impl Work {
    /// With what a pause by the channel and a wait for a login say of it.
    fn tell(&mut self, login: Option<&LoginWait>) {
        let closed = Closed { paused_until: self.paused_until, login: login.copied() };
        self.status = status(take(&mut self.status), self.due_at, &closed);
        self.login = closed.login.filter(|_| self.status == LOGIN);
    }

    /// Why it waits. Whoever ends one hold finds it held by the others.
    fn waits_as(&self) -> String {
        if self.held_by.len() > 1 { self.held_by.join(", ") } else { self.status.clone() }
    }

    /// When it can be sent; of what is held nobody knows, and its status says what holds it.
    fn due_in(&self, now: DateTime<Utc>) -> String {
        if !FREE.contains(&self.status.as_str()) {
            return "held".to_owned();
        }
        if self.status == AFTER_ATTEMPT {
            return "-".to_owned();
        }
        let closed = Closed { paused_until: self.paused_until.filter(|_| self.status != UNDER_WAY), login: self.login };
        let left = (closed.until().map_or(self.due_at, |until| until.max(self.due_at)) - now).num_seconds();
        if left > 0 { span(left) } else { "now".to_owned() }
    }

    fn cells(&self, now: DateTime<Utc>) -> Vec<Cell> {
        let needs: Vec<&str> = self.needs.iter().map(|need| short(need)).collect();
        let needs = if needs.len() == Section::ALL.len() { "all".to_owned() } else { needs.join("+") };
        vec![
            text(self.listing_id),
            optional(self.unit_id.as_ref()),
            optional(self.target_name.as_ref()),
            text(needs),
            text(attempts::words(self.attempt)),
            state(&self.waits_as()),
            text(self.due_in(now)),
            text(since(self.behind_since, now)),
        ]
    }
}
