//! Each history is dense, each event is there once, and each sync job has its row in the audit, and an end.

use crate::quiet::count;
use crate::world::World;

/// Questions whose answer must be 0.
const NONE: [(&str, &str); 6] = [
    (
        "histories with a hole",
        "SELECT count(*) FROM (SELECT 1 FROM events GROUP BY aggregate_type, aggregate_id
         HAVING count(*) <> max(sequence) OR min(sequence) <> 1) AS holes",
    ),
    ("events twice", "SELECT count(*) - count(DISTINCT event_id) FROM events"),
    (
        "events whose position goes back in their history",
        "SELECT count(*) FROM (SELECT position < lag(position) OVER (PARTITION BY aggregate_type, aggregate_id
         ORDER BY sequence) AS back FROM events) AS ordered WHERE back",
    ),
    ("sync jobs without an end", "SELECT count(*) FROM outbound_audit WHERE finished_at IS NULL"),
    (
        "listings that hold one at the channel with another of their target",
        "SELECT count(*) FROM (SELECT 1 FROM channel_listings WHERE state <> 'unlinked' AND external_id IS NOT NULL
         GROUP BY target_id, external_id HAVING count(*) > 1) AS shared",
    ),
    (
        "calls of a job that is not in the audit",
        "SELECT count(*) FROM outbound_attempts AS a WHERE NOT EXISTS (
         SELECT FROM outbound_audit AS j WHERE j.sync_id = a.sync_id)",
    ),
];

pub(super) struct Journal {
    pub wrong: Vec<String>,
    pub jobs: i64,
    pub events: i64,
}

pub(super) async fn check(world: &World) -> anyhow::Result<Journal> {
    let mut wrong = Vec::new();
    for (what, sql) in NONE {
        let found = count(&world.pool, sql).await?;
        if found != 0 {
            wrong.push(format!("{found} {what}"));
        }
    }
    let coverage = projections::audit_coverage(&world.pool).await?;
    if coverage.missing != 0 || coverage.rows != coverage.jobs {
        wrong.push(format!("the audit does not have each job once: {coverage:?}"));
    }
    let events = count(&world.pool, "SELECT count(*) FROM events").await?;
    Ok(Journal { wrong, jobs: coverage.jobs, events })
}
