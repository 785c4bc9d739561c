//! Circuits: a target that failed again and again is left alone, by all dispatchers, until a check gets an answer. What
//! waits for it burns no attempt meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ids::TargetId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::DispatchStore;

/// Who asks for a check of a target that has failed.
pub const BY_CIRCUIT: &str = "service:dispatcher";
/// So many failures in a row open a circuit.
pub(super) const OPEN_AFTER: i32 = 5;
/// From the opening to the first check; twice as long after each that fails.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Up to a quarter less than the wait after the `opened`-th opening, so that targets of one channel do not come back in
/// step. The number is that of the bind: first and longest in seconds.
pub(super) fn wait(opened: &str, first: u8, longest: u8) -> String {
    format!("make_interval(secs => {} * (0.75 + random() / 4))", most(opened, first, longest))
}

/// The shortest that [`wait`] gives.
pub(super) fn shortest_wait(opened: &str, first: u8, longest: u8) -> String {
    format!("make_interval(secs => {} * 0.75)", most(opened, first, longest))
}

fn most(opened: &str, first: u8, longest: u8) -> String {
    format!("least(${longest}, ${first} * 2 ^ least({opened} - 1, 20))")
}

/// What [`wait`] binds.
pub(super) fn waits() -> (f64, f64) {
    (FIRST_WAIT.as_secs_f64(), LONGEST_WAIT.as_secs_f64())
}

impl DispatchStore {
    /// Takes away what is known of circuits that closed longer ago than this.
    pub async fn forget_openings(&self, age: Duration) -> Result<u64, sqlx::Error> {
        let old = sqlx::query("DELETE FROM circuit_openings WHERE closed_at < now() - make_interval(secs => $1)");
        old.bind(age.as_secs_f64()).execute(&self.pool).await.map(|done| done.rows_affected())
    }
}

/// Pushes that ended: whether each failed without being refused. Answers close circuits, failures in a row open them.
pub(super) async fn note(connection: &mut PgConnection, ended: &[(TargetId, bool)]) -> Result<(), sqlx::Error> {
    let mut answered: Vec<Uuid> = ended.iter().filter(|(_, failed)| !failed).map(|(target, _)| target.0).collect();
    answered.sort_unstable();
    answered.dedup();
    close(&mut *connection, &answered).await?;
    let mut failures: BTreeMap<Uuid, i32> = BTreeMap::new();
    for (target, failed) in ended {
        let count = failures.entry(target.0).or_default();
        *count = if *failed { *count + 1 } else { 0 };
    }
    failures.retain(|_, count| *count > 0);
    if failures.is_empty() {
        return Ok(());
    }
    let (first, longest) = waits();
    sqlx::query(&format!(
        "WITH told AS (
             SELECT * FROM unnest($1::uuid[], $2::int[]) AS u (target_id, failures)
         ), noted AS (
             INSERT INTO dispatch_circuits AS c (target_id, failures, opened)
             SELECT target_id, failures, (failures >= $3)::int FROM told ORDER BY target_id
             ON CONFLICT (target_id) DO UPDATE SET failures = c.failures + excluded.failures,
                 opened = greatest(c.opened, (c.failures + excluded.failures >= $3)::int)
             RETURNING target_id, failures, opened
         ), kept AS (
             INSERT INTO circuit_openings (target_id) SELECT target_id FROM noted WHERE opened > 0 ORDER BY target_id
             ON CONFLICT DO NOTHING
         )
         INSERT INTO dispatch_checks AS k (target_id, asked_by, due_at)
         SELECT target_id, '{BY_CIRCUIT}', clock_timestamp() + {}
         FROM noted JOIN told USING (target_id)
         -- Opened just now; what fails later had begun before.
         WHERE noted.opened = 1 AND noted.failures - told.failures < $3
         ORDER BY target_id
         ON CONFLICT (target_id) DO UPDATE SET due_at = least(k.due_at, excluded.due_at),
             asked_by = CASE WHEN k.due_at <= excluded.due_at THEN k.asked_by ELSE excluded.asked_by END",
        wait("1", 4, 5)
    ))
    .bind(failures.keys().copied().collect::<Vec<_>>())
    .bind(failures.values().copied().collect::<Vec<_>>())
    .bind(OPEN_AFTER)
    .bind(first)
    .bind(longest)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Forgets failures, and wakes the lanes that were closed.
pub(super) async fn close(connection: &mut PgConnection, targets: &[Uuid]) -> Result<(), sqlx::Error> {
    if targets.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH closed AS (DELETE FROM dispatch_circuits WHERE target_id = ANY($1) RETURNING target_id, opened), kept AS (
             UPDATE circuit_openings o SET closed_at = clock_timestamp()
             FROM closed WHERE o.target_id = closed.target_id AND closed.opened > 0 AND o.closed_at IS NULL
         )
         UPDATE dispatch_lanes l SET wake_at = clock_timestamp()
         FROM closed WHERE l.target_id = closed.target_id AND closed.opened > 0",
    )
    .bind(targets)
    .execute(connection)
    .await
    .map(|_| ())
}
