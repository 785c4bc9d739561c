//! How many targets had which health at the end of each minute, told back from how they are now.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::OrgId;
use sqlx::{FromRow, PgConnection};

/// Targets that went from one health to another within a minute.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct HealthMoves {
    /// The minute, UTC.
    pub minute: DateTime<Utc>,
    /// What they were; nothing where they were made.
    pub from_health: String,
    /// What they became.
    pub to_health: String,
    /// How many.
    pub count: i64,
}

const MOVES: &str = "
SELECT date_trunc('minute', h.at) AS minute, h.from_health, h.to_health, count(*) AS count
FROM target_health_changes AS h JOIN channel_targets AS t USING (target_id)
WHERE h.org_id = $1 AND h.at >= $2 AND t.lifecycle <> 'deleted'
GROUP BY 1, 2, 3
UNION ALL
SELECT date_trunc('minute', created_at), '', 'unknown', count(*) FROM channel_targets
WHERE org_id = $1 AND created_at >= $2 AND lifecycle <> 'deleted'
GROUP BY 1";

/// Those since a moment, in any order, of targets that are still there.
pub async fn moves(
    connection: &mut PgConnection,
    org: &OrgId,
    since: DateTime<Utc>,
) -> Result<Vec<HealthMoves>, sqlx::Error> {
    sqlx::query_as(MOVES).bind(org.as_str()).bind(since).fetch_all(connection).await
}

/// The counts at the end of each of these minutes, in order.
pub fn told_back(
    minutes: impl DoubleEndedIterator<Item = DateTime<Utc>>,
    now: BTreeMap<String, i64>,
    moves: &[HealthMoves],
) -> Vec<BTreeMap<String, i64>> {
    let mut counts = now;
    let mut told: Vec<_> = minutes
        .rev()
        .map(|minute| {
            let at_end = counts.clone();
            let within = minute..minute + TimeDelta::minutes(1);
            for moved in moves.iter().filter(|moved| within.contains(&moved.minute)) {
                *counts.entry(moved.to_health.clone()).or_default() -= moved.count;
                *counts.entry(moved.from_health.clone()).or_default() += moved.count;
            }
            at_end
        })
        .collect();
    told.reverse();
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_targets_were_is_told_back_from_what_they_are() {
        let minute = |n: i64| DateTime::from_timestamp(n * 60, 0).unwrap_or_default();
        let moves = |n: i64, from: &str, to: &str, count| HealthMoves {
            minute: minute(n),
            from_health: from.to_owned(),
            to_health: to.to_owned(),
            count,
        };
        let now = BTreeMap::from([("healthy".to_owned(), 8), ("degraded".to_owned(), 2)]);
        let history =
            [moves(2, "healthy", "degraded", 3), moves(3, "degraded", "healthy", 1), moves(2, "", "healthy", 1)];
        let told = told_back((1..=4).map(minute), now, &history);
        let of = |name: &str| told.iter().map(|counts| counts.get(name).copied().unwrap_or(0)).collect::<Vec<_>>();
        assert_eq!((of("healthy"), of("degraded")), (vec![9, 7, 8, 8], vec![0, 3, 2, 2]));
    }
}
