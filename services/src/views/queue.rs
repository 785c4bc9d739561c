//! Why work waits: one word for it, wherever it is told.

use std::collections::HashMap;

use adapters::dispatch::ACCOUNT_SCOPE;
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::OrgId;
use sqlx::PgPool;
use uuid::Uuid;

use super::login::{self, LoginWait};

/// What holds all work of a target (`t`, and `o` for its circuit).
macro_rules! target_holds {
    () => {
        "WHEN t.lifecycle = 'paused' THEN 'target paused' WHEN t.health = 'unauthorised' THEN 'target unauthorised'
    WHEN o.target_id IS NOT NULL THEN 'circuit open'"
    };
}

/// Who is at a row `q` of `sync_queue`.
macro_rules! leases {
    () => {
        "
LEFT JOIN dispatch_leases AS d ON d.listing_id = q.listing_id AND NOT d.done AND d.lease_until > now()"
    };
}

/// Whether a lease `ended` of the listing of a row `q` says that a dispatcher was done with that, and the queue has time to follow.
pub const IS_DONE: &str =
    "ended.done AND ended.lease_until > now() AND (q.ordinal, q.tries) <= (ended.ordinal, ended.tries)";

/// What the queue joins to say so; [`BY_ROW`] stands on it.
pub const WAITING: &str = concat!(
    "
sync_queue AS q
LEFT JOIN channel_listings AS l ON l.listing_id = q.listing_id
LEFT JOIN channel_targets AS t ON t.target_id = q.target_id
LEFT JOIN dispatch_circuits AS o ON o.target_id = q.target_id AND o.opened > 0",
    leases!()
);

/// The same of one target, for whoever has joined that (`t`) and its circuit (`o`): they are not looked up for each row again.
pub const WAITING_FOR_TARGET: &str = concat!("sync_queue AS q", leases!());

/// A dispatcher has the listing, and works on the sync.
pub const UNDER_WAY: &str = "under way";
/// It is tried again at its time.
pub const LATER: &str = "later";
/// It waits for its turn and for a slot of the window.
pub const DUE: &str = "due";
/// A dispatcher took the listing up for a sync before this one, and ends that one's attempt first, where it has begun.
pub const AFTER_ATTEMPT: &str = "after an attempt";
/// Calls of its account, or of the address that they leave from, wait until a time, as the channel answered 429; it is due by then.
pub const PAUSED: &str = "paused by the channel";
/// It is due, and its target is one of those of whose credentials the channel takes none, which have few logins together.
pub const LOGIN: &str = "waits for a login";
/// What was put off by a pause is due when that ends, by a clock that differs a little from the database's.
const ABOUT: TimeDelta = TimeDelta::seconds(2);
/// Since when the channel has been behind for a row `q` of `sync_queue`: since the first request that it has not got, as a sync that
/// takes the place of another keeps that one's clock.
pub const BEHIND_SINCE: &str = "coalesce(q.behind_since, q.requested_at)";

/// What [`status`] says.
pub const STATUSES: [&str; 10] = [
    UNDER_WAY,
    AFTER_ATTEMPT,
    "target paused",
    "target unauthorised",
    "circuit open",
    "listing paused",
    LATER,
    PAUSED,
    LOGIN,
    DUE,
];

/// Those of a sync that nobody has to let go: it waits for its time, the end of an attempt before it or of a pause by the channel,
/// a login, its turn and slots.
pub const FREE: [&str; 6] = [UNDER_WAY, AFTER_ATTEMPT, LATER, PAUSED, LOGIN, DUE];

/// What keeps a target's calls from being made, and no reader's statement can tell: rows of others say so, or those of an address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Closed {
    /// The end of the channel's pause.
    pub paused_until: Option<DateTime<Utc>>,
    /// The login that it waits for.
    pub login: Option<LoginWait>,
}

impl Closed {
    /// When that is over, at the earliest.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        self.paused_until.max(self.login.map(|login| login.not_before))
    }
}

/// What the rows of the queue say of it: [`status`] says the rest. A lease names the sync that the queue showed when it was taken.
pub const BY_ROW: &str = concat!(
    "
CASE WHEN d.ordinal < q.ordinal THEN 'after an attempt' WHEN d.listing_id IS NOT NULL THEN 'under way' ",
    target_holds!(),
    "
    WHEN l.state = 'paused' THEN 'listing paused'
    WHEN q.due_at > now() THEN 'later' ELSE 'due' END AS status"
);

/// Whatever holds a row `q` of `sync_queue`, where somebody or something has to let it go: whoever ends the first of these, of which [`BY_ROW`]
/// tells, finds it held by the others.
pub const HELD_BY: &str = "
CASE WHEN d.listing_id IS NOT NULL THEN ARRAY[]::text[] ELSE array_remove(ARRAY[
    CASE WHEN t.lifecycle = 'paused' THEN 'target paused' END,
    CASE WHEN t.health = 'unauthorised' THEN 'target unauthorised' END,
    CASE WHEN o.target_id IS NOT NULL THEN 'circuit open' END,
    CASE WHEN l.state = 'paused' THEN 'listing paused' END], NULL) END AS held_by";

/// What [`HELD_BY`] says.
pub const HOLDS: [&str; 4] = ["target paused", "target unauthorised", "circuit open", "listing paused"];

/// Whether [`BY_ROW`] says `due`, to be counted: nothing holds it, and nobody is at it. Of a pause by the channel (`p`, one of
/// [`channel_pauses`]) it knows as well. The listing is looked up only where nothing else holds it.
pub const IS_DUE: &str = concat!(
    "CASE ",
    target_holds!(),
    "
    WHEN d.listing_id IS NOT NULL OR q.due_at > now() OR p.paused_until IS NOT NULL THEN 'waits'
    WHEN EXISTS (SELECT 1 FROM channel_listings AS held WHERE held.listing_id = q.listing_id AND held.state = 'paused')
        THEN 'listing paused' END IS NULL"
);

/// The same of a target as a whole: what holds it, or nothing.
pub const HELD: &str = concat!("CASE ", target_holds!(), " END AS held");

/// Under way, after an attempt of a sync before it, what holds it, later (it is tried again at its time), paused by the channel, waits for
/// a login, or due (it waits for a slot of the window). `by_row` is what [`BY_ROW`] says. What is due at `due_at` waits for a pause that
/// lasts until then, about.
pub fn status(by_row: String, due_at: DateTime<Utc>, closed: &Closed) -> String {
    let holds = |until: DateTime<Utc>| match by_row.as_str() {
        DUE => true,
        LATER => until + ABOUT >= due_at,
        _ => false,
    };
    if closed.paused_until.is_some_and(holds) {
        PAUSED.to_owned()
    } else if by_row == DUE && closed.login.is_some() {
        LOGIN.to_owned()
    } else {
        by_row
    }
}

/// The targets whose calls a channel has paused, by a 429: with the scope that it named, the account or an address that calls
/// leave from, and until when; of several pauses the longest.
pub fn channel_pauses() -> String {
    pauses("")
}

/// The same as the owners of the targets are told of them: that of an account only by a target whose credentials the channel takes there,
/// as with its windows ([`super::windows::of_target`]).
fn told_pauses() -> String {
    pauses("AND credentials_are_taken(t.target_id)")
}

fn pauses(of_accounts: &str) -> String {
    // Accounts and addresses apart: of many paused accounts each is then looked up, and not held against every target.
    format!(
        "WITH pauses AS MATERIALIZED (
            SELECT scope, paused_until FROM rate_scopes WHERE paused_until > now() AND isfinite(paused_until)
         )
         SELECT DISTINCT ON (target_id) target_id, paused_scope, paused_until FROM (
            SELECT t.target_id, 'account' AS paused_scope, p.paused_until
            FROM pauses AS p JOIN channel_targets AS t ON p.scope = {ACCOUNT_SCOPE}
            WHERE t.lifecycle <> 'deleted' {of_accounts}
            UNION ALL
            SELECT t.target_id, 'egress', p.paused_until
            FROM pauses AS p CROSS JOIN channel_targets AS t
            WHERE p.scope LIKE 'egress:%' AND t.lifecycle <> 'deleted'
         ) AS paused ORDER BY target_id, paused_until DESC"
    )
}

/// Targets whose calls a channel has paused, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PausedTargets {
    /// How many.
    pub count: i64,
    /// Until when the longest pause lasts, UTC.
    pub until: DateTime<Utc>,
}

/// Those of an organisation, of all of its accounts or of these; `None` where there are none. Not for a reader: no reader sees the
/// pause of an address.
pub async fn paused_targets(
    pool: &PgPool,
    org: &OrgId,
    accounts: Option<Vec<String>>,
) -> Result<Option<PausedTargets>, sqlx::Error> {
    let statement = format!(
        "SELECT count(*), max(p.paused_until) FROM ({}) AS p JOIN channel_targets AS t ON t.target_id = p.target_id
         WHERE t.org_id = $1 AND ($2::text[] IS NULL OR t.account_id = ANY ($2))",
        told_pauses()
    );
    let paused = sqlx::query_as(&statement).bind(org.as_str()).bind(accounts).fetch_one(pool).await?;
    let (count, until): (i64, Option<DateTime<Utc>>) = paused;
    Ok(until.map(|until| PausedTargets { count, until }))
}

/// What keeps calls of these targets from being made, where something does, as their owners are told.
pub async fn closed(pool: &PgPool, targets: &[Uuid]) -> Result<HashMap<Uuid, Closed>, sqlx::Error> {
    let pauses = told_pauses();
    let statement = format!("SELECT target_id, paused_until FROM ({pauses}) AS p WHERE target_id = ANY ($1)");
    let rows: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(&statement).bind(targets).fetch_all(pool).await?;
    let mut closed: HashMap<Uuid, Closed> = HashMap::new();
    for (target, until) in rows {
        closed.entry(target).or_default().paused_until = Some(until);
    }
    for (target, login) in login::waits(pool, targets).await? {
        closed.entry(target).or_default().login = Some(login);
    }
    Ok(closed)
}
