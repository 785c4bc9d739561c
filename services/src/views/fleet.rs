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
    /// What they became; nothing where they were deleted.
    pub to_health: String,
    /// How many.
    pub count: i64,
}

/// Nothing happens to a target after its deletion, so its row was changed last then.
const MOVES: &str = "
SELECT date_trunc('minute', at) AS minute, from_health, to_health, count(*) AS count
FROM target_health_changes WHERE org_id = $1 AND at >= $2
GROUP BY 1, 2, 3
UNION ALL
SELECT date_trunc('minute', created_at), '', 'unknown', count(*) FROM channel_targets
WHERE org_id = $1 AND created_at >= $2
GROUP BY 1
UNION ALL
SELECT date_trunc('minute', updated_at), health, '', count(*) FROM channel_targets
WHERE org_id = $1 AND updated_at >= $2 AND lifecycle = 'deleted'
GROUP BY 1, 2";

/// Those since a moment, in any order, of targets that are there no more, too.
pub async fn moves(
    connection: &mut PgConnection,
    org: &OrgId,
    since: DateTime<Utc>,
) -> Result<Vec<HealthMoves>, sqlx::Error> {
    sqlx::query_as(MOVES).bind(org.as_str()).bind(since).fetch_all(connection).await
}

/// The counts at the end of each of these minutes, in order. `now` are those of targets that are still there.
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
        let mut history =
            vec![moves(2, "healthy", "degraded", 3), moves(3, "degraded", "healthy", 1), moves(2, "", "healthy", 1)];
        let told = |history: &[HealthMoves]| {
            let told = told_back((1..=4).map(minute), now.clone(), history);
            let of = |name: &str| told.iter().map(|counts| counts.get(name).copied().unwrap_or(0)).collect::<Vec<_>>();
            (of("healthy"), of("degraded"))
        };
        assert_eq!(told(&history), (vec![9, 7, 8, 8], vec![0, 3, 2, 2]));
        // What is deleted was what it was.
        history.push(moves(4, "degraded", "", 1));
        assert_eq!(told(&history), (vec![9, 7, 8, 8], vec![1, 4, 3, 2]));
    }
}
