//! Checks of targets: asked for, planned, told. Who takes one is in `due_checks.rs`.

use std::time::Duration;

use domain::call::CallRecord;
use domain::ids::TargetId;
use domain::metadata::Actor;
use domain::outcome::OutcomeClass;
use domain::port::CheckReport;
use domain::target::Target;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::DispatchStore;
use super::circuit::{BY_CIRCUIT, OPEN_AFTER, close, shortest_wait, wait, waits};
use super::due_checks::DueCheck;
use crate::postgres::begin;

/// Who asks for a check whose turn has come.
pub const BY_TURN: &str = "service:health";

impl DueCheck {
    /// Somebody wants to know: neither its turn nor an open circuit asked for it.
    fn is_out_of_turn(&self) -> bool {
        ![BY_TURN, BY_CIRCUIT].contains(&self.asked_by.as_str())
    }
}

impl DispatchStore {
    /// Asks for a check now. Gives its id; one that is under way, or that an open circuit has come to, is the one that is asked for. Everybody who
    /// asks is written down.
    pub async fn ask_check(&self, target: TargetId, by: &Actor) -> Result<Uuid, sqlx::Error> {
        sqlx::query_scalar(&format!(
            "INSERT INTO dispatch_checks AS k (target_id, check_id, asked_by, due_at, askers, askers_of)
             VALUES ($1, $2, $3, now(), jsonb_build_array($4::jsonb), $2)
             ON CONFLICT (target_id) DO UPDATE SET due_at = least(k.due_at, excluded.due_at),
                 asked_by = CASE WHEN k.lease_until > now() OR k.due_at <= now() AND k.asked_by = '{BY_CIRCUIT}'
                     THEN k.asked_by ELSE excluded.asked_by END,
                 askers = CASE WHEN k.askers_of IS DISTINCT FROM k.check_id THEN excluded.askers
                     WHEN k.askers @> excluded.askers THEN k.askers ELSE k.askers || excluded.askers END,
                 askers_of = k.check_id
             RETURNING check_id"
        ))
        .bind(target.0)
        .bind(Uuid::now_v7())
        .bind(&by.name)
        .bind(Json(by))
        .fetch_one(&self.pool)
        .await
    }

    /// There is nothing to check: the target is gone.
    pub async fn drop_check(&self, target: TargetId) -> Result<(), sqlx::Error> {
        sqlx::query(
            "WITH circuit AS (DELETE FROM dispatch_circuits WHERE target_id = $1), kept AS (
                 UPDATE circuit_openings SET closed_at = clock_timestamp() WHERE target_id = $1 AND closed_at IS NULL
             )
             DELETE FROM dispatch_checks WHERE target_id = $1",
        )
        .bind(target.0)
        .execute(&self.pool)
        .await
        .map(|_| ())
    }

    /// What a check's end means for the target's circuit. Gives how often in a row the target has failed. One that somebody asked for makes nobody
    /// wait for longer: an open circuit is as it was, but for one failure more.
    pub async fn note_check(&self, check: &DueCheck, class: OutcomeClass) -> Result<u32, sqlx::Error> {
        let target = check.target_id;
        if !failed(class) {
            if !class.is_held_back() {
                let mut transaction = self.begin(true).await?;
                sqlx::query("SELECT 1 FROM dispatch_lanes WHERE target_id = $1 FOR UPDATE")
                    .bind(target.0)
                    .execute(&mut *transaction)
                    .await?;
                close(&mut transaction, &[target.0]).await?;
                transaction.commit().await?;
            }
            return Ok(0);
        }
        let failures: i32 = sqlx::query_scalar(
            "WITH noted AS (
                 INSERT INTO dispatch_circuits AS c (target_id, failures, opened) VALUES ($1, 1, 0)
                 ON CONFLICT (target_id) DO UPDATE SET failures = c.failures + 1,
                     opened = CASE WHEN c.failures + 1 < $2 OR c.opened > 0 AND $3 THEN c.opened ELSE c.opened + 1 END
                 RETURNING failures, opened
             ), kept AS (
                 INSERT INTO circuit_openings (target_id) SELECT $1 FROM noted WHERE opened > 0 ON CONFLICT DO NOTHING
             )
             SELECT failures FROM noted",
        )
        .bind(target.0)
        .bind(OPEN_AFTER)
        .bind(check.is_out_of_turn())
        .fetch_one(&self.pool)
        .await?;
        Ok(u32::try_from(failures).unwrap_or(0))
    }

    /// Writes a check down and lets it go. After a failure the next one comes soon, and later after each. After one that somebody asked for an open
    /// circuit has its own when it would have had it, or a little earlier: at random that was, and is not kept. Two may have made a check,
    /// one of them beyond its lease: the row tells how the later one ended, and of the calls of both.
    pub async fn finish_check(
        &self,
        check: &DueCheck,
        target: &Target,
        report: &CheckReport,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = begin(&self.pool).await?;
        let last = report.calls.last();
        // A call that came after it may have ended otherwise, as with the secret from before a rotation.
        let decided = report.calls.iter().rev().find(|call| call.class == report.class);
        let took_ms = |call: &CallRecord| i64::try_from(call.duration_ms).unwrap_or(i64::MAX);
        sqlx::query(
            "INSERT INTO health_checks (
                 check_id, target_id, org_id, account_id, asked_by, calls, latency_ms, status, class, detail,
                 calls_started_at, calls_took_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (check_id) DO UPDATE SET at = excluded.at, calls = health_checks.calls + excluded.calls,
                 latency_ms = excluded.latency_ms, status = excluded.status, class = excluded.class,
                 detail = excluded.detail,
                 calls_started_at = health_checks.calls_started_at || excluded.calls_started_at,
                 calls_took_ms = health_checks.calls_took_ms || excluded.calls_took_ms
             WHERE excluded.calls > 0",
        )
        .bind(check.check_id)
        .bind(target.target_id.0)
        .bind(target.org_id.as_str())
        .bind(target.account_id.as_str())
        .bind(&check.asked_by)
        .bind(i32::try_from(report.calls.len()).unwrap_or(i32::MAX))
        .bind(last.map(took_ms))
        .bind(decided.and_then(|call| call.status).map(i32::from))
        .bind(report.class.as_str())
        .bind(report.detail.as_deref())
        .bind(report.calls.iter().map(|call| call.started_at).collect::<Vec<_>>())
        .bind(report.calls.iter().map(took_ms).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        let (first, longest) = waits();
        sqlx::query(&format!(
            "UPDATE dispatch_checks k SET check_id = gen_random_uuid(), lease_until = '-infinity',
                 asked_by = CASE WHEN again.due_at IS NULL THEN '{BY_TURN}' ELSE '{BY_CIRCUIT}' END,
                 due_at = coalesce(again.due_at, 'infinity')
             FROM (SELECT max(CASE WHEN $6 AND c.opened > 0 THEN greatest(clock_timestamp(), since.at + {})
                       ELSE clock_timestamp() + {} END) AS due_at
                   FROM dispatch_circuits c CROSS JOIN (
                       SELECT coalesce(greatest(
                           (SELECT opened_at FROM circuit_openings WHERE target_id = $1 AND closed_at IS NULL),
                           (SELECT max(at) FROM health_checks
                            WHERE target_id = $1 AND asked_by IN ('{BY_TURN}', '{BY_CIRCUIT}'))),
                           clock_timestamp()) AS at) since
                   WHERE c.target_id = $1 AND (c.opened > 0 OR $5)) again
             WHERE k.target_id = $1 AND k.check_id = $2",
            shortest_wait("c.opened", 3, 4),
            wait("greatest(c.opened, 1)", 3, 4)
        ))
        .bind(target.target_id.0)
        .bind(check.check_id)
        .bind(first)
        .bind(longest)
        .bind(failed(report.class))
        .bind(check.is_out_of_turn())
        .execute(&mut *transaction)
        .await?;
        tell_askers(&mut transaction, check).await?;
        transaction.commit().await
    }

    /// Asks for the checks that are due by the plan: each active target once in `interval`, at random around it. A healthy
    /// one whose sync was taken within the interval is seen to work, and one whose circuit is open is checked when that
    /// says. Gives how many were asked for. Each is due at a time of its own, by which dispatchers go on where they have looked.
    pub async fn plan_checks(&self, interval: Duration) -> Result<u64, sqlx::Error> {
        // Statements of their own, each in the order of the targets: whoever tells of failures locks these rows, too.
        let interval = interval.as_secs_f64();
        sqlx::query(
            "DELETE FROM dispatch_checks k USING channel_targets t
             WHERE t.target_id = k.target_id AND t.lifecycle = 'deleted' AND k.lease_until <= now()",
        )
        .execute(&self.pool)
        .await?;
        sqlx::query(
            "INSERT INTO dispatch_checks AS k (target_id, next_at)
             SELECT t.target_id, now() + make_interval(secs => $1 * random()) FROM channel_targets t
             WHERE t.lifecycle = 'active'
                 AND NOT EXISTS (SELECT FROM dispatch_checks k WHERE k.target_id = t.target_id AND k.next_at < 'infinity')
             ORDER BY t.target_id
             ON CONFLICT (target_id) DO UPDATE SET next_at = excluded.next_at",
        )
        .bind(interval)
        .execute(&self.pool)
        .await?;
        // An open circuit has nobody but its check to close it again.
        sqlx::query(&format!(
            "INSERT INTO dispatch_checks AS k (target_id, asked_by, due_at)
             SELECT c.target_id, '{BY_CIRCUIT}', clock_timestamp() FROM dispatch_circuits c
             LEFT JOIN dispatch_checks k USING (target_id)
             WHERE c.opened > 0 AND (k.target_id IS NULL OR k.due_at = 'infinity')
             ORDER BY c.target_id
             ON CONFLICT (target_id) DO UPDATE SET due_at = excluded.due_at, asked_by = excluded.asked_by"
        ))
        .execute(&self.pool)
        .await?;
        let asked = sqlx::query(
            "WITH planned AS (
                 UPDATE dispatch_checks k SET
                     next_at = greatest(CASE WHEN p.works THEN p.last_success_at ELSE now() END
                             + make_interval(secs => $1 * (0.5 + random())), now() + make_interval(secs => $1 / 10)),
                     due_at = CASE WHEN p.wanted THEN least(k.due_at, clock_timestamp()) ELSE k.due_at END
                 FROM (SELECT t.target_id, h.last_success_at,
                           coalesce(h.last_success_at > now() - make_interval(secs => $1), false) AS works,
                           t.lifecycle = 'active'
                               AND NOT EXISTS (SELECT FROM dispatch_circuits c WHERE c.target_id = t.target_id AND c.opened > 0)
                               AND (h.health IS DISTINCT FROM 'healthy'
                                   OR coalesce(h.last_success_at <= now() - make_interval(secs => $1), true)) AS wanted
                       FROM dispatch_checks planned JOIN channel_targets t USING (target_id)
                       LEFT JOIN target_health h USING (target_id)
                       WHERE planned.next_at <= now() ORDER BY t.target_id FOR UPDATE OF planned) p
                 WHERE p.target_id = k.target_id
                 RETURNING p.wanted
             )
             SELECT FROM planned WHERE wanted",
        )
        .bind(interval)
        .execute(&self.pool)
        .await?;
        Ok(asked.rows_affected())
    }

    /// Takes away checks that are older than this.
    pub async fn forget_checks(&self, age: Duration) -> Result<u64, sqlx::Error> {
        let old = sqlx::query("DELETE FROM health_checks WHERE at < now() - make_interval(secs => $1)");
        old.bind(age.as_secs_f64()).execute(&self.pool).await.map(|done| done.rows_affected())
    }
}

/// Who asked for a check, until its end: whoever asks from now on asks for the next one.
async fn tell_askers(connection: &mut PgConnection, check: &DueCheck) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE health_checks h
         SET askers = CASE WHEN k.askers_of = h.check_id THEN k.askers ELSE coalesce(h.askers, '[]') END
         FROM dispatch_checks k WHERE h.check_id = $1 AND k.target_id = h.target_id",
    )
    .bind(check.check_id)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Whether the target is to blame for an end, so that more of the same would not help.
fn failed(class: OutcomeClass) -> bool {
    matches!(class, OutcomeClass::Transient | OutcomeClass::Unknown)
}
