//! What happened over a span of time, in steps of a minute or more: for plots and service levels.

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::OrgId;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;

/// A span, and the steps that it is cut into.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Its first minute, UTC.
    pub from: DateTime<Utc>,
    /// The minute at which it ends, itself left out.
    pub to: DateTime<Utc>,
    /// The length of a step; whole minutes from 1.
    pub step_min: u32,
}

/// What happened in a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow, Serialize, ToSchema)]
pub struct Activity {
    /// Where the step begins: steps are counted from the start of 1970, UTC.
    pub at: DateTime<Utc>,
    /// Syncs that were asked for.
    pub requested: i64,
    /// Syncs that the channel took.
    pub accepted: i64,
    /// Syncs for which nothing differed.
    pub skipped: i64,
    /// Syncs whose place a later one took.
    pub superseded: i64,
    /// Syncs that ended without success: exhausted, rejected, unauthorised.
    pub failed: i64,
    /// Syncs of listings that were unlinked, or whose target was deleted.
    pub cancelled: i64,
    /// Of all of these, syncs that had ended before: superseded, say, and taken after all.
    pub ended_again: i64,
    /// Accepted or failed.
    pub finished: i64,
    /// Accepted, and the channel had been behind for five minutes at most.
    pub within_5_min: i64,
    /// For how long the channel had been behind at the end, of the finished ones together, in milliseconds: since the first request
    /// that it had not got.
    pub total_ms: i64,
    /// The longest of them.
    pub longest_ms: i64,
    /// HTTP calls of syncs.
    pub calls: i64,
    /// HTTP calls of syncs that were answered with 429.
    pub throttled: i64,
    /// HTTP calls of syncs that failed otherwise.
    pub call_errors: i64,
}

const READ: &str = "
SELECT date_bin(make_interval(mins => $5), minute, 'epoch') AS at,
    sum(requested)::bigint AS requested, sum(accepted)::bigint AS accepted, sum(skipped)::bigint AS skipped,
    sum(superseded)::bigint AS superseded, sum(failed)::bigint AS failed, sum(cancelled)::bigint AS cancelled,
    sum(ended_again)::bigint AS ended_again, sum(finished)::bigint AS finished, sum(within_5_min)::bigint AS within_5_min, sum(total_ms)::bigint AS total_ms,
    max(longest_ms) AS longest_ms, sum(calls)::bigint AS calls, sum(throttled)::bigint AS throttled,
    sum(call_errors)::bigint AS call_errors
FROM sync_activity
WHERE ($1::text IS NULL OR org_id = $1) AND ($2::text[] IS NULL OR account_id = ANY ($2))
    AND minute >= $3 AND minute < $4
GROUP BY 1 ORDER BY 1";

/// The steps in which anything happened, oldest first. Without an organisation those of all; `accounts` of `None` are all.
pub async fn read(
    connection: &mut PgConnection,
    org: Option<&OrgId>,
    accounts: Option<&[String]>,
    span: Span,
) -> Result<Vec<Activity>, sqlx::Error> {
    sqlx::query_as(READ)
        .bind(org.map(OrgId::as_str))
        .bind(accounts)
        .bind(span.from)
        .bind(span.to)
        .bind(i32::try_from(span.step_min.max(1)).unwrap_or(i32::MAX))
        .fetch_all(connection)
        .await
}

impl Activity {
    /// Steps as one, which begins where the first does.
    pub fn sum(steps: &[Self]) -> Self {
        let mut sum = Self { at: steps.first().map(|step| step.at).unwrap_or_default(), ..Self::default() };
        for step in steps {
            sum.requested += step.requested;
            sum.accepted += step.accepted;
            sum.skipped += step.skipped;
            sum.superseded += step.superseded;
            sum.failed += step.failed;
            sum.cancelled += step.cancelled;
            sum.ended_again += step.ended_again;
            sum.finished += step.finished;
            sum.within_5_min += step.within_5_min;
            sum.total_ms += step.total_ms;
            sum.longest_ms = sum.longest_ms.max(step.longest_ms);
            sum.calls += step.calls;
            sum.throttled += step.throttled;
            sum.call_errors += step.call_errors;
        }
        sum
    }

    /// Syncs that ended, each counted once.
    pub fn ended(&self) -> i64 {
        self.accepted + self.skipped + self.superseded + self.failed + self.cancelled - self.ended_again
    }
}

/// How many syncs waited at the end of each step, told back from how many wait now. Without what happened before the read
/// model was made, it is never less than none.
pub fn waiting(steps: &[Activity], now: i64) -> Vec<i64> {
    let mut at_end = now;
    let mut told = Vec::with_capacity(steps.len());
    for step in steps.iter().rev() {
        told.push(at_end);
        at_end = (at_end - step.requested + step.ended()).max(0);
    }
    told.reverse();
    told
}

/// How long the oldest had waited at the end of each minute, in milliseconds, told back from since when the oldest waits now. What
/// ended within a minute counts as if it had ended at the start of it: up to a minute too much, and never more than it waited in
/// all. Of those that ended, the finished ones count.
pub fn oldest_ms(minutes: &[Activity], since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<i64> {
    let mut since = since;
    let mut told = Vec::with_capacity(minutes.len());
    for minute in minutes.iter().rev() {
        let end = now.min(minute.at + TimeDelta::minutes(1));
        told.push(since.map_or(0, |since| (end - since).num_milliseconds().max(0)));
        if minute.finished > 0 {
            let began = minute.at - TimeDelta::milliseconds(minute.longest_ms);
            since = Some(since.map_or(began, |since| since.min(began)));
        }
    }
    told.reverse();
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_the_oldest_waited_is_told_back_from_the_one_that_waits_now() {
        let start = DateTime::from_timestamp(6_000, 0).unwrap_or_default();
        let minute = |n: i64, longest_s: i64| Activity {
            at: start + TimeDelta::minutes(n),
            finished: i64::from(longest_s > 0),
            longest_ms: longest_s * 1_000,
            ..Activity::default()
        };
        // Of the fourth minute one took 150 s: it waited at the ends of the three before. Another waits for 10 s now.
        let minutes = [minute(0, 0), minute(1, 1), minute(2, 0), minute(3, 150), minute(4, 0)];
        let now = start + TimeDelta::seconds(4 * 60 + 30);
        let told = oldest_ms(&minutes, Some(now - TimeDelta::seconds(10)), now);
        assert_eq!(told, [30_000, 90_000, 150_000, 0, 10_000]);
        assert_eq!(oldest_ms(&minutes[4..], None, now), [0]);
    }

    #[test]
    fn what_waited_is_told_back_from_what_waits_now() {
        let step = |requested, accepted, superseded, ended_again| Activity {
            requested,
            accepted,
            superseded,
            ended_again,
            ..Activity::default()
        };
        // Five are asked for; one takes the place of another, which the channel takes all the same; the rest are taken.
        let steps = [step(5, 0, 0, 0), step(1, 2, 1, 1), step(0, 3, 0, 0), Activity::default()];
        assert_eq!(waiting(&steps, 1), [5, 4, 1, 1]);
        assert_eq!(waiting(&[step(3, 0, 0, 0), step(0, 0, 0, 0)], 1), [1, 1]);
        assert_eq!(waiting(&[], 7), [0; 0]);
    }
}
