//! The product's service levels, computed when they are asked for: each with its window, its target, what it is now, and
//! whether it holds. Where nothing happened there is no value, which is not the same as all being well. Calls are those of syncs,
//! of health checks and of looks for drift, as in the metrics.

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::OrgId;
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};
use utoipa::ToSchema;

use super::activity::{self, Activity, Span};
use super::queue::BEHIND_SINCE;
use super::read_model_lag;

/// What a level is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// From 0 to 1.
    Ratio,
    /// Seconds.
    Seconds,
}

/// A service level.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Level {
    /// Its stable name.
    #[schema(value_type = String)]
    pub name: &'static str,
    /// What is promised, in words.
    #[schema(value_type = String)]
    pub promise: &'static str,
    /// What it looks at, in words.
    #[schema(value_type = String)]
    pub window: &'static str,
    /// What its values are.
    pub unit: Unit,
    /// The bound that the value has to keep.
    pub limit: f64,
    /// Whether the value has to reach the limit (`true`) or to stay below it.
    pub at_least: bool,
    /// What it is now; absent where there is nothing to judge by.
    pub value: Option<f64>,
    /// How many syncs, calls, jobs, replays or events were judged.
    pub observed: i64,
    /// Whether it holds; absent where there is nothing to judge by.
    pub holds: Option<bool>,
}

/// All levels at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({ "at": "2026-11-25T16:30:00Z", "levels": [{ "name": "syncs_in_time",
    "promise": "95 % of syncs are complete within 5 minutes", "window": "1 hour", "unit": "ratio", "limit": 0.95,
    "at_least": true, "value": 0.998, "observed": 1204, "holds": true }] }))]
pub struct ServiceLevels {
    /// By the database's clock, UTC.
    pub at: DateTime<Utc>,
    /// The levels, always all of them and in the same order.
    pub levels: Vec<Level>,
}

impl Level {
    /// A level without a value.
    const fn of(name: &'static str, promise: &'static str, window: &'static str, unit: Unit, limit: f64) -> Self {
        Self { name, promise, window, unit, limit, at_least: false, value: None, observed: 0, holds: None }
    }

    const fn at_least(self) -> Self {
        Self { at_least: true, ..self }
    }

    /// With what was seen; nothing was where nothing was observed.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts is shown to some digits")]
    fn ratio(self, part: i64, of: i64) -> Self {
        if of == 0 { self } else { self.seen(part as f64 / of as f64, of) }
    }

    /// What it is now, for people. Rounded down, so that 100 % is all of them and 0.99 % is less than one.
    pub fn shown(&self) -> Option<String> {
        // What is a whole number of the last digit may be a hair less as a binary fraction.
        let down = |value: f64, digits: f64| (value * digits + 1e-6).floor() / digits;
        self.value.map(|value| match self.unit {
            Unit::Ratio => format!("{:.2} %", down(value * 100.0, 100.0)),
            Unit::Seconds => format!("{:.1} s", down(value, 10.0)),
        })
    }

    fn seen(self, value: f64, observed: i64) -> Self {
        let holds = if self.at_least { value >= self.limit } else { value < self.limit };
        Self { value: Some(value), observed, holds: Some(holds), ..self }
    }
}

const IN_TIME: Level = Level::of(
    "syncs_in_time",
    "95 % of syncs are complete within 5 minutes",
    "1 hour, and what has now waited for more than 5 minutes",
    Unit::Ratio,
    0.95,
)
.at_least();
const FAILED: Level =
    Level::of("sync_failures", "fewer than 1 % of syncs fail in a day", "24 hours", Unit::Ratio, 0.01);
const COVERED: Level = Level::of(
    "audit_coverage",
    "every sync job has its row in the audit",
    "the newest 20,000 events of the journal",
    Unit::Ratio,
    1.0,
)
.at_least();
const THROTTLED: Level =
    Level::of("throttled_calls", "fewer than 2 % of calls are answered with 429", "10 minutes", Unit::Ratio, 0.02);
const REPLAYED: Level =
    Level::of("snapshot_replay", "a snapshot is replayed within 10 minutes", "24 hours", Unit::Seconds, 600.0);
const CURRENT: Level = Level::of(
    "read_models",
    "read models show an event within 20 seconds",
    "now",
    Unit::Seconds,
    read_model_lag::PROMISED.as_secs_f64(),
);

impl ServiceLevels {
    /// How many calls were answered with 429, and of how many; `None` where there were none.
    pub fn throttled(&self) -> Option<(i64, i64)> {
        let level = self.levels.iter().find(|level| level.name == THROTTLED.name)?;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a ratio of two counts, made a count"
        )]
        let part = (level.value? * level.observed as f64).round() as i64;
        Some((part, level.observed))
    }
}

/// Computes them, of one organisation or of all, and of some accounts or of all. `far_lag_since` is [`far_lag_since`]'s: a
/// connection that sees one organisation cannot tell whether an event of it is among very many that are not shown.
pub async fn read(
    connection: &mut PgConnection,
    far_lag_since: Option<DateTime<Utc>>,
    org: Option<&OrgId>,
    accounts: Option<&[String]>,
) -> Result<ServiceLevels, sqlx::Error> {
    let at: DateTime<Utc> = sqlx::query_scalar("SELECT now()").fetch_one(&mut *connection).await?;
    let to = at + TimeDelta::minutes(1);
    let day = Span { from: to - TimeDelta::hours(24), to, step_min: 1 };
    let day = activity::read(&mut *connection, org, accounts, day).await?;
    let last = |length: TimeDelta| -> Activity {
        let recent: Vec<Activity> = day.iter().filter(|minute| minute.at > at - length).cloned().collect();
        Activity::sum(&recent)
    };
    let (hour, ten_minutes, day) =
        (last(TimeDelta::hours(1)), last(TimeDelta::minutes(10)), last(TimeDelta::hours(24)));
    let further: Further = sqlx::query_as(&further(org.is_some()))
        .bind(org.map(OrgId::as_str))
        .bind(accounts)
        .bind(projections::all().iter().map(|projection| projection.name()).collect::<Vec<_>>())
        .bind(hour.finished.max(OVERDUE))
        .fetch_one(&mut *connection)
        .await?;
    let far_s = far_lag_since.map(|since| seconds(at - since));
    // What the next event would meet.
    let unseen_s = further.unseen_s.into_iter().chain(far_s).reduce(f64::max);
    let levels = vec![
        IN_TIME.ratio(hour.within_5_min, hour.finished + further.overdue),
        FAILED.ratio(day.failed, day.finished),
        COVERED.ratio(further.jobs - further.jobs_without_row, further.jobs),
        THROTTLED.ratio(ten_minutes.throttled + further.other_throttled, ten_minutes.calls + further.other_calls),
        further.slowest_replay_s.map_or(REPLAYED, |slowest| REPLAYED.seen(slowest, further.replays)),
        unseen_s.map_or(CURRENT, |age| CURRENT.seen(age, further.unseen)),
    ];
    Ok(ServiceLevels { at, levels })
}

/// Since when the read models lag by more events than [`read`] looks for that they do not show.
pub async fn far_lag_since(pool: &PgPool) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    read_model_lag::far_since(pool, NEWEST).await
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of some days")]
fn seconds(span: TimeDelta) -> f64 {
    span.num_milliseconds().max(0) as f64 / 1_000.0
}

/// What the minutes do not tell.
#[derive(Debug, FromRow)]
struct Further {
    overdue: i64,
    jobs: i64,
    jobs_without_row: i64,
    replays: i64,
    slowest_replay_s: Option<f64>,
    /// Of no sync, in ten minutes; and how many of them were answered with 429.
    other_calls: i64,
    other_throttled: i64,
    unseen: i64,
    unseen_s: Option<f64>,
}

/// Events of the journal that the audit is held against, and that can be unseen: what is older is for
/// `distribution projections coverage`.
const NEWEST: i64 = 20_000;

/// Late syncs are counted up to this, or up to those that ended in the hour if they are more: where there are so many, no more
/// than half was in time, and how many more there are changes no verdict.
const OVERDUE: i64 = 10_000;

// A replay that failed was none, however soon it did: it counts among the failures.
// One statement, so one snapshot. What an operator holds back by a pause is not late. Unseen events are bounded by position
// and not by number: to find so many of one organisation, those of all others would be read. Of a check the last call's status is
// kept: it ends with a 429.
fn further(of_one: bool) -> String {
    let own = |table: &str| {
        let org = if of_one { format!("{table}.org_id = $1") } else { "$1::text IS NULL".to_owned() };
        format!("{org} AND ($2::text[] IS NULL OR {table}.account_id = ANY ($2))")
    };
    let (of_queue, of_events, of_audit) = (own("q"), own("e"), own("a"));
    let (of_checks, of_drift) = (own("h"), own("d"));
    format!(
        "WITH seen AS MATERIALIZED (
             SELECT coalesce(min(coalesce(c.position, 0)), 0) AS all_models,
                 coalesce(max(c.position) FILTER (WHERE n.name = 'outbound_audit'), 0) AS audit
             FROM unnest($3::text[]) AS n (name) LEFT JOIN projection_checkpoints c ON c.name = n.name
         ), newest AS MATERIALIZED (
             SELECT DISTINCT (e.payload #>> ARRAY[e.event_type, 'request', 'sync_id'])::uuid AS sync_id
             FROM events e
             WHERE e.event_type IN ('SyncRequested', 'SyncSkipped') AND {of_events}
                 AND e.position > (SELECT audit FROM seen) - {NEWEST} AND e.position <= (SELECT audit FROM seen)
         ), unseen AS MATERIALIZED (
             SELECT e.recorded_at FROM events e
             WHERE e.position > (SELECT all_models FROM seen) AND e.position <= (SELECT all_models FROM seen) + {NEWEST}
                 AND {of_events}
         ), replays AS MATERIALIZED (
             SELECT extract(epoch FROM coalesce(a.finished_at, now()) - a.requested_at)::float8 AS took_s
             FROM outbound_audit a
             WHERE a.cause = 'replayed' AND a.requested_at > now() - interval '24 hours'
                 AND a.outcome IN ('pending', 'accepted', 'accepted_with_rejections', 'skipped_unchanged') AND {of_audit}
         ), other_calls AS MATERIALIZED (
             SELECT h.calls, h.status FROM health_checks h WHERE h.at > now() - interval '10 minutes' AND {of_checks}
             UNION ALL
             SELECT 1, d.status FROM drift_calls d WHERE d.started_at > now() - interval '10 minutes' AND {of_drift}
         )
         SELECT
             (SELECT count(*) FROM (
                 SELECT FROM sync_queue q JOIN channel_listings l USING (listing_id)
                     JOIN channel_targets t ON t.target_id = q.target_id
                 WHERE {BEHIND_SINCE} < now() - interval '5 minutes' AND l.state = 'active' AND t.lifecycle = 'active'
                     AND {of_queue} LIMIT $4) AS late) AS overdue,
             (SELECT count(*) FROM newest) AS jobs,
             (SELECT count(*) FROM newest n
              WHERE NOT EXISTS (SELECT FROM outbound_audit a WHERE a.sync_id = n.sync_id)) AS jobs_without_row,
             (SELECT count(*) FROM replays) AS replays,
             (SELECT max(took_s) FROM replays) AS slowest_replay_s,
             (SELECT coalesce(sum(calls), 0) FROM other_calls) AS other_calls,
             (SELECT count(*) FROM other_calls WHERE status = 429) AS other_throttled,
             (SELECT count(*) FROM unseen) AS unseen,
             CASE WHEN (SELECT audit FROM seen) > 0 OR EXISTS (SELECT FROM unseen) THEN
                 greatest(coalesce((SELECT extract(epoch FROM now() - min(recorded_at))::float8 FROM unseen), 0), 0)
             END AS unseen_s"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_seen_is_no_value_and_no_verdict() {
        assert_eq!((IN_TIME.ratio(0, 0).value, IN_TIME.ratio(0, 0).holds), (None, None));
        assert_eq!(IN_TIME.ratio(95, 100).holds, Some(true));
        assert_eq!(IN_TIME.ratio(94, 100).holds, Some(false));
        assert_eq!(FAILED.ratio(1, 100).holds, Some(false), "fewer than 1 % is promised");
        assert_eq!(COVERED.ratio(99, 100).holds, Some(false));
        let shown = |level: Level| level.shown().unwrap_or_default();
        assert_eq!(shown(COVERED.ratio(99_999, 100_000)), "99.99 %");
        assert_eq!(shown(FAILED.ratio(996, 100_000)), "0.99 %");
        assert_eq!(shown(FAILED.ratio(29, 10_000)), "0.29 %");
        assert_eq!(shown(REPLAYED.seen(1.29, 1)), "1.2 s");
        let levels = ServiceLevels { at: DateTime::default(), levels: vec![FAILED, THROTTLED.ratio(7, 3_001)] };
        assert_eq!(levels.throttled(), Some((7, 3_001)));
    }
}
