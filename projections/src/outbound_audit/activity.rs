//! The rows of `sync_activity`: what happened in each minute of an account. Counts only grow, so a batch is added with one
//! statement and nothing is read; a superseded job that the channel took after all counts as both, each in its minute.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::outcome::SyncOutcome;
use domain::recorded::Recorded;
use sqlx::{FromRow, PgConnection};

use crate::column::column;
use crate::error::Error;
use crate::projection::Ended;

/// A sync is to be complete so soon after the channel fell behind.
const SOON: TimeDelta = TimeDelta::minutes(5);

/// Org, account, minute in seconds since 1970.
type Key = (String, String, i64);

/// What happened in a minute.
#[derive(Debug, Default, PartialEq, Eq)]
struct Minute {
    requested: i64,
    accepted: i64,
    skipped: i64,
    superseded: i64,
    failed: i64,
    cancelled: i64,
    ended_again: i64,
    finished: i64,
    within_5_min: i64,
    total_ms: i64,
    longest_ms: i64,
    calls: i64,
    throttled: i64,
    call_errors: i64,
}

/// The calls of a minute that the audit did not know before.
#[derive(FromRow)]
pub(super) struct NewCalls {
    pub(super) org_id: String,
    pub(super) account_id: String,
    pub(super) minute: DateTime<Utc>,
    pub(super) calls: i64,
    pub(super) throttled: i64,
    pub(super) errors: i64,
}

/// What a batch tells.
#[derive(Debug, Default)]
pub(super) struct Activity {
    minutes: BTreeMap<Key, Minute>,
    ended: Vec<Ended>,
}

impl Activity {
    /// A job was asked for.
    pub(super) fn requested(&mut self, event: &Recorded) {
        self.at(event, event.recorded_at).requested += 1;
    }

    /// A job ended, and the channel had been behind since `since`.
    pub(super) fn ended(&mut self, event: &Recorded, outcome: SyncOutcome, since: DateTime<Utc>, at: DateTime<Utc>) {
        self.end(event, outcome, since, at);
        self.ended.push(Ended { position: event.position, outcome, again: false });
    }

    /// A job that had ended before has ended once more: the channel took it after all.
    pub(super) fn ended_again(
        &mut self,
        event: &Recorded,
        outcome: SyncOutcome,
        since: DateTime<Utc>,
        at: DateTime<Utc>,
    ) {
        self.end(event, outcome, since, at);
        self.at(event, at).ended_again += 1;
        self.ended.push(Ended { position: event.position, outcome, again: true });
    }

    fn end(&mut self, event: &Recorded, outcome: SyncOutcome, since: DateTime<Utc>, at: DateTime<Utc>) {
        let minute = self.at(event, at);
        let took = (at - since).max(TimeDelta::zero());
        match outcome {
            SyncOutcome::Pending => {}
            SyncOutcome::SkippedUnchanged => minute.skipped += 1,
            SyncOutcome::Superseded => minute.superseded += 1,
            SyncOutcome::Cancelled => minute.cancelled += 1,
            SyncOutcome::Accepted | SyncOutcome::AcceptedWithRejections => {
                minute.accepted += 1;
                minute.within_5_min += i64::from(took <= SOON);
                minute.finish(took);
            }
            SyncOutcome::Rejected | SyncOutcome::Unauthorised | SyncOutcome::Exhausted => {
                minute.failed += 1;
                minute.finish(took);
            }
        }
    }

    /// Calls were made.
    pub(super) fn called(&mut self, new: Vec<NewCalls>) {
        for row in new {
            let minute = self.minutes.entry((row.org_id, row.account_id, minute_of(row.minute))).or_default();
            minute.calls += row.calls;
            minute.throttled += row.throttled;
            minute.call_errors += row.errors;
        }
    }

    fn at(&mut self, event: &Recorded, at: DateTime<Utc>) -> &mut Minute {
        let whose = &event.metadata;
        self.minutes.entry((whose.org_id.to_string(), whose.account_id.to_string(), minute_of(at))).or_default()
    }
}

impl Minute {
    fn finish(&mut self, took: TimeDelta) {
        self.finished += 1;
        self.total_ms = self.total_ms.saturating_add(took.num_milliseconds());
        self.longest_ms = self.longest_ms.max(took.num_milliseconds());
    }
}

fn minute_of(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(60) * 60
}

const ADD: &str = "
INSERT INTO sync_activity AS minute (
    org_id, account_id, minute, requested, accepted, skipped, superseded, failed, cancelled, finished, within_5_min,
    total_ms, longest_ms, calls, throttled, call_errors, ended_again)
SELECT org_id, account_id, to_timestamp(seconds), requested, accepted, skipped, superseded, failed, cancelled, finished,
    within_5_min, total_ms, longest_ms, calls, throttled, call_errors, ended_again
FROM UNNEST(
    $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::bigint[], $17::bigint[])
AS told (
    org_id, account_id, seconds, requested, accepted, skipped, superseded, failed, cancelled, finished, within_5_min,
    total_ms, longest_ms, calls, throttled, call_errors, ended_again)
ON CONFLICT (org_id, account_id, minute) DO UPDATE SET
    requested = minute.requested + EXCLUDED.requested, accepted = minute.accepted + EXCLUDED.accepted,
    skipped = minute.skipped + EXCLUDED.skipped, superseded = minute.superseded + EXCLUDED.superseded,
    failed = minute.failed + EXCLUDED.failed, cancelled = minute.cancelled + EXCLUDED.cancelled,
    finished = minute.finished + EXCLUDED.finished, within_5_min = minute.within_5_min + EXCLUDED.within_5_min,
    total_ms = minute.total_ms + EXCLUDED.total_ms, longest_ms = greatest(minute.longest_ms, EXCLUDED.longest_ms),
    calls = minute.calls + EXCLUDED.calls, throttled = minute.throttled + EXCLUDED.throttled,
    call_errors = minute.call_errors + EXCLUDED.call_errors, ended_again = minute.ended_again + EXCLUDED.ended_again";

/// Gives the jobs that ended.
pub(super) async fn add(connection: &mut PgConnection, activity: Activity) -> Result<Vec<Ended>, Error> {
    let Activity { minutes, ended } = activity;
    if minutes.is_empty() {
        return Ok(ended);
    }
    let rows: Vec<(Key, Minute)> = minutes.into_iter().collect();
    sqlx::query(ADD)
        .bind(column(&rows, |((org, ..), _)| org.as_str()))
        .bind(column(&rows, |((_, account, _), _)| account.as_str()))
        .bind(column(&rows, |((.., minute), _)| *minute))
        .bind(column(&rows, |(_, row)| row.requested))
        .bind(column(&rows, |(_, row)| row.accepted))
        .bind(column(&rows, |(_, row)| row.skipped))
        .bind(column(&rows, |(_, row)| row.superseded))
        .bind(column(&rows, |(_, row)| row.failed))
        .bind(column(&rows, |(_, row)| row.cancelled))
        .bind(column(&rows, |(_, row)| row.finished))
        .bind(column(&rows, |(_, row)| row.within_5_min))
        .bind(column(&rows, |(_, row)| row.total_ms))
        .bind(column(&rows, |(_, row)| row.longest_ms))
        .bind(column(&rows, |(_, row)| row.calls))
        .bind(column(&rows, |(_, row)| row.throttled))
        .bind(column(&rows, |(_, row)| row.call_errors))
        .bind(column(&rows, |(_, row)| row.ended_again))
        .execute(connection)
        .await?;
    Ok(ended)
}
