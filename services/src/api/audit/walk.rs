//! The way through the audit, page by page: each page by an index that begins with what is asked for, and through no more than
//! so many rows. No index can have an outcome, as it changes; so a page of a filter that few rows pass may be short or empty,
//! and says where to go on.

use chrono::{DateTime, TimeDelta, Utc};
use domain::access::{Accounts, Caller};
use domain::ids::{AccountId, TraceId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow as _, PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::api::page::{DEPTH, Page, encode};
use crate::api::reader::{Reader, account_filter};
use crate::views::audit::{COLUMNS, FAILED, Sync, failures_in_sql};

/// By how much a later position may have an earlier time: both are taken when an event is written, but a clock may be set.
const SKEW: TimeDelta = TimeDelta::seconds(30);

/// Which syncs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub account_id: Option<AccountId>,
    pub target_id: Option<Uuid>,
    pub listing_id: Option<Uuid>,
    pub unit_id: Option<String>,
    /// One of `asked_outcomes`.
    pub outcome: Option<String>,
    /// How its last attempt, or a call of it, ended, whatever became of it later.
    pub class: Option<String>,
    pub cause: Option<String>,
    pub trace_id: Option<TraceId>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    pub ended_since: Option<DateTime<Utc>>,
    /// With a call that began then or later; beside `class`, with one of that class, and no attempt counts.
    pub called_since: Option<DateTime<Utc>>,
}

impl Filter {
    /// Whether not every row that is walked is wanted: no index knows of these.
    fn is_narrow(&self) -> bool {
        let texts = [&self.outcome, &self.class, &self.cause];
        let times = [self.since, self.until, self.ended_since, self.called_since];
        texts.into_iter().any(Option::is_some) || times.into_iter().any(|time| time.is_some())
    }
}

/// The way through the audit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
}

/// Some syncs.
#[derive(Debug)]
pub(crate) struct Found {
    pub syncs: Vec<Sync>,
    /// The position to go on from; `None` where nothing is left.
    pub next: Option<i64>,
}

impl Found {
    /// As a page of a list.
    pub(crate) fn page(self) -> Page<Sync> {
        Page { items: self.syncs, next_cursor: self.next.map(|position| encode(&position)) }
    }
}

/// The caller, seeing no more than one account where one is asked for: the rows of that alone are walked, and Postgres hides all
/// others.
fn of_account(caller: &Caller, account: Option<&AccountId>) -> Caller {
    let mut caller = caller.clone();
    if let Some(account) = account {
        let seen = caller.accounts.contain(account).then(|| account.clone());
        caller.accounts = Accounts::Only(seen.into_iter().collect());
    }
    caller
}

/// What rows are found by.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Those of the organisation.
    Organisation,
    /// Those of the one account that the caller sees, or asks for.
    Account,
    /// Those of each account that the caller sees, merged.
    Accounts,
    Target,
    Listing,
    /// Those of the unit's listings.
    Unit,
    /// Those of the trace.
    Trace,
}

impl Way {
    fn of(filter: &Filter, caller: &Caller) -> Self {
        match filter {
            Filter { trace_id: Some(_), .. } => Self::Trace,
            Filter { listing_id: Some(_), .. } => Self::Listing,
            Filter { unit_id: Some(_), .. } => Self::Unit,
            Filter { target_id: Some(_), .. } => Self::Target,
            _ => Self::of_all(caller),
        }
    }

    fn of_all(caller: &Caller) -> Self {
        match &caller.accounts {
            Accounts::All => Self::Organisation,
            Accounts::Only(accounts) if accounts.len() == 1 => Self::Account,
            Accounts::Only(_) => Self::Accounts,
        }
    }

    /// The first rows of it for which `between` holds, in the order of positions. Parameters: organisation, accounts,
    /// target, listing and unit; of a trace its id is the seventeenth.
    fn rows(self, between: &str, direction: &str, limit: &str) -> String {
        let own = format!(
            "SELECT a.position, a.sync_id, a.target_id, a.listing_id, a.unit_id, a.outcome, a.class, a.cause, a.requested_at,
                a.finished_at
             FROM outbound_audit AS a WHERE a.org_id = $1 AND {between}"
        );
        let of_mine = "($2::text[] IS NULL OR a.account_id = ANY ($2))";
        let first = format!("ORDER BY a.position {direction} LIMIT {limit}");
        match self {
            Self::Organisation => format!("{own} AND $2::text[] IS NULL {first}"),
            Self::Account => format!("{own} AND a.account_id = ($2::text[])[1] {first}"),
            Self::Accounts => format!(
                "SELECT a.* FROM unnest($2::text[]) AS mine (account_id)
                 CROSS JOIN LATERAL ({own} AND a.account_id = mine.account_id {first}) AS a {first}"
            ),
            // Of a target that the caller does not see, row after row would be read and hidden.
            Self::Target => format!(
                "{own} AND {of_mine} AND a.target_id = $3
                    AND EXISTS (SELECT FROM channel_targets AS t WHERE t.target_id = $3) {first}"
            ),
            // With a fence: all rows of a listing are read and sorted, some ten thousand after years, instead of everybody's in
            // order until they come.
            Self::Listing => {
                format!("SELECT a.* FROM ({own} AND {of_mine} AND a.listing_id = $4 OFFSET 0) AS a {first}")
            }
            Self::Unit => format!(
                "SELECT a.* FROM (SELECT listing_id FROM channel_listings WHERE org_id = $1 AND unit_id = $5 OFFSET 0) AS l
                 CROSS JOIN LATERAL ({own} AND {of_mine} AND a.listing_id = l.listing_id OFFSET 0) AS a {first}"
            ),
            // With a fence, as of a listing. What a traceparent begins with is what the index is of.
            Self::Trace => format!(
                "SELECT a.* FROM ({own} AND {of_mine} AND a.traceparent ~>=~ ('00-' || $17::text || '-')
                    AND a.traceparent ~<~ ('00-' || $17::text || '.') OFFSET 0) AS a {first}"
            ),
        }
    }

    /// Rows that are looked through for `wanted` ones.
    fn depth(self, filter: &Filter, caller: &Caller, wanted: i64) -> i64 {
        match (self, &caller.accounts) {
            (Self::Organisation | Self::Account | Self::Accounts | Self::Target, _) if !filter.is_narrow() => wanted,
            (Self::Accounts, Accounts::Only(accounts)) => {
                wanted.max(DEPTH / i64::try_from(accounts.len()).unwrap_or(DEPTH).max(1))
            }
            _ => wanted.max(DEPTH),
        }
    }
}

/// Whether one of its calls ended so, and began then. With a fence: each sync that is looked at is looked up, instead of all calls that
/// ended so being gathered.
const CALLED_SO: &str = "EXISTS (
    SELECT FROM outbound_attempts AS c WHERE c.sync_id = looked.sync_id AND ($15::text IS NULL OR c.class = $15)
        AND ($16::timestamptz IS NULL OR c.started_at >= $16) OFFSET 0)";

/// Up to `limit` syncs beyond a position.
pub(crate) async fn syncs(
    pool: &PgPool,
    caller: &Caller,
    filter: &Filter,
    order: Order,
    beyond: Option<i64>,
    limit: i64,
) -> Result<Found, sqlx::Error> {
    let caller = &of_account(caller, filter.account_id.as_ref());
    let mut reader = Reader::open(pool, caller).await?;
    let (mut after, mut before) = (0, i64::MAX);
    if let Some(since) = filter.since {
        after = position_at(&mut reader, caller, since.checked_sub_signed(SKEW).unwrap_or(since)).await?;
    }
    if let Some(until) = filter.until {
        before = position_at(&mut reader, caller, until.checked_add_signed(SKEW).unwrap_or(until)).await?;
        before = before.saturating_add(1);
    }
    let (direction, furthest) = match order {
        Order::NewestFirst => {
            before = before.min(beyond.unwrap_or(i64::MAX));
            ("DESC", "min")
        }
        Order::OldestFirst => {
            after = after.max(beyond.unwrap_or(0));
            ("ASC", "max")
        }
    };
    let way = Way::of(filter, caller);
    let walk = way.rows("a.position > $10 AND a.position < $11", direction, "$12");
    let failures = failures_in_sql();
    // Only where too few are found the same rows are looked at again, for how far they reach; in one statement, so that
    // nothing comes in between.
    let statement = format!(
        "WITH found AS MATERIALIZED (
            SELECT looked.sync_id FROM ({walk}) AS looked
            WHERE ($3::uuid IS NULL OR looked.target_id = $3) AND ($4::uuid IS NULL OR looked.listing_id = $4)
                AND ($5::text IS NULL OR looked.unit_id = $5)
                AND ($6::text IS NULL OR looked.outcome = $6 OR $6 = '{FAILED}' AND looked.outcome IN ({failures}))
                AND ($7::text IS NULL OR looked.cause = $7) AND ($8::timestamptz IS NULL OR looked.requested_at >= $8)
                AND ($9::timestamptz IS NULL OR looked.requested_at < $9)
                AND ($14::timestamptz IS NULL OR looked.finished_at >= $14)
                AND ($15::text IS NULL AND $16::timestamptz IS NULL
                    OR $16::timestamptz IS NULL AND looked.class = $15 OR {CALLED_SO})
            ORDER BY looked.position {direction} LIMIT $13
         ), furthest AS MATERIALIZED (
            SELECT CASE WHEN count(*) = $12 THEN {furthest}(looked.position) END AS position
            FROM ({walk}) AS looked WHERE (SELECT count(*) FROM found) < $13
         )
         SELECT furthest.position AS furthest, {COLUMNS}
         FROM furthest LEFT JOIN (
            found CROSS JOIN LATERAL (SELECT * FROM outbound_audit WHERE sync_id = found.sync_id OFFSET 0) AS a
            LEFT JOIN channel_targets AS t ON t.target_id = a.target_id
         ) ON true
         ORDER BY a.position {direction}"
    );
    let wanted = limit.saturating_add(1);
    let rows = sqlx::query(&statement).bind(caller.org_id.as_str()).bind(account_filter(caller));
    let rows = rows.bind(filter.target_id).bind(filter.listing_id).bind(&filter.unit_id).bind(&filter.outcome);
    let rows = rows.bind(&filter.cause).bind(filter.since).bind(filter.until).bind(after).bind(before);
    let rows = rows.bind(way.depth(filter, caller, wanted)).bind(wanted);
    let mut rows = rows.bind(filter.ended_since).bind(&filter.class).bind(filter.called_since);
    // No other way has a place for it.
    if let Some(trace) = &filter.trace_id {
        rows = rows.bind(trace.as_str());
    }
    found(&rows.fetch_all(&mut *reader).await?, limit)
}

/// One row at least, which has no sync where none was found.
fn found(rows: &[PgRow], limit: i64) -> Result<Found, sqlx::Error> {
    let mut syncs = Vec::with_capacity(rows.len());
    let mut next = None;
    for row in rows {
        next = row.try_get("furthest")?;
        if row.try_get::<Option<Uuid>, _>("sync_id")?.is_some() {
            syncs.push(Sync::from_row(row)?);
        }
    }
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    if syncs.len() > shown {
        syncs.truncate(shown);
        next = syncs.last().map(|sync| sync.position);
    }
    Ok(Found { syncs, next })
}

/// A position with nothing of the caller's from before a time beyond it, and nothing from that time on up to it; but for
/// [`SKEW`]. Found by halving, so that no index of times is kept: each step is one look at the index of positions.
async fn position_at(reader: &mut PgConnection, caller: &Caller, at: DateTime<Utc>) -> Result<i64, sqlx::Error> {
    let beyond = Way::of_all(caller).rows("a.position > half.low + (half.high - half.low) / 2", "ASC", "1");
    let statement = format!(
        "WITH RECURSIVE half AS (
            SELECT 0::bigint AS low,
                coalesce((SELECT position FROM projection_checkpoints WHERE name = 'outbound_audit'), 0) AS high
            UNION ALL
            SELECT CASE WHEN beyond.requested_at < $3 THEN beyond.position ELSE half.low END,
                CASE WHEN beyond.requested_at < $3 THEN half.high ELSE half.low + (half.high - half.low) / 2 END
            FROM half LEFT JOIN LATERAL ({beyond}) AS beyond ON true
            WHERE half.low < half.high
         )
         SELECT min(high) FROM half"
    );
    let position = sqlx::query_scalar(&statement).bind(caller.org_id.as_str()).bind(account_filter(caller)).bind(at);
    position.fetch_one(reader).await
}
