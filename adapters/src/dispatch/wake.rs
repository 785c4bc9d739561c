//! When lanes wake: the plan at the end of a round, the next one that is due, and the sweep behind all the hints.

use std::time::Duration;

use domain::ids::TargetId;
use sqlx::PgConnection;

use super::{CALLABLE, CLAIMABLE, DispatchStore};

/// Wakes that one look is at.
const WAKES: i64 = 10_000;

/// What became of some wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WakesTaken {
    /// How many were taken to their lanes.
    pub taken: i64,
    /// How many the next look passes over, because their lanes are in somebody's hands; 0 after the last ones.
    pub beyond: i64,
}

impl DispatchStore {
    /// Takes what woke lanes since the last time to the lanes.
    ///
    /// The wakes of a lane that is in somebody's hands stay for the next time: the plan that ends a round must not undo
    /// them, and a dispatcher that froze in its round must not hold up the others. A crash that takes the commit back leaves
    /// the wakes where they were.
    ///
    /// It looks at some of them: where nobody dispatched for a while, there are as many as there were changes. `beyond` is how
    /// many are passed over, because they stayed the last time: see [`WakesTaken::beyond`].
    pub async fn take_wakes(&self, beyond: i64) -> Result<WakesTaken, sqlx::Error> {
        let mut transaction = self.begin(false).await?;
        let taken: (i64, i64) = sqlx::query_as(
            // One look for each lane that was woken, however many lanes there are.
            "WITH first AS MATERIALIZED (
                 SELECT ctid AS wake, target_id FROM dispatch_wakes OFFSET $1 LIMIT $2
             ), woken AS MATERIALIZED (
                 SELECT target_id, array_agg(wake) AS wakes FROM first GROUP BY target_id ORDER BY target_id
             ), free AS MATERIALIZED (
                 SELECT w.wakes FROM woken w
                 CROSS JOIN LATERAL (
                     SELECT 1 FROM dispatch_lanes l WHERE l.target_id = w.target_id FOR UPDATE SKIP LOCKED) lane
                 UNION ALL
                 SELECT w.wakes FROM woken w
                 WHERE (SELECT l.target_id FROM dispatch_lanes l WHERE l.target_id = w.target_id) IS NULL
             ), wakes AS MATERIALIZED (
                 SELECT ctid FROM dispatch_wakes WHERE ctid = ANY(ARRAY(SELECT unnest(wakes) FROM free))
                 FOR UPDATE SKIP LOCKED
             ), taken AS (
                 DELETE FROM dispatch_wakes WHERE ctid = ANY(ARRAY(SELECT ctid FROM wakes)) RETURNING target_id, wake_at
             ), told AS (
                 INSERT INTO dispatch_lanes AS lane (target_id, wake_at)
                 SELECT target_id, min(wake_at) FROM taken GROUP BY target_id ORDER BY target_id
                 ON CONFLICT (target_id) DO UPDATE SET wake_at = least(lane.wake_at, excluded.wake_at)
             )
             SELECT (SELECT count(*) FROM first), (SELECT count(*) FROM taken)",
        )
        .bind(beyond)
        .bind(WAKES)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let (seen, taken) = taken;
        Ok(WakesTaken { taken, beyond: if seen < WAKES { 0 } else { beyond + seen - taken } })
    }

    /// Makes a lane known that has nothing to do, so that slots can be taken in it.
    pub async fn know_lane(&self, target: TargetId) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO dispatch_lanes (target_id, wake_at) VALUES ($1, 'infinity') ON CONFLICT DO NOTHING")
            .bind(target.0)
            .execute(&self.pool)
            .await
            .map(|_| ())
    }

    /// How long until some lane wakes, in milliseconds; `None` when nothing is planned. Negative when one is due.
    pub async fn next_wake_ms(&self) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar(&format!(
            // Of targets that a round would look at: the lane of a held or deleted one may be due, too.
            "SELECT (extract(epoch FROM l.wake_at - now()) * 1000)::bigint
             FROM dispatch_lanes l
             CROSS JOIN LATERAL (SELECT 1 FROM channel_targets t WHERE t.target_id = l.target_id AND {CALLABLE} OFFSET 0) t
             WHERE l.wake_at < 'infinity' ORDER BY l.wake_at LIMIT 1"
        ))
        .fetch_optional(&self.pool)
        .await
    }

    /// Wakes every lane that has work and sleeps without an end: the guarantee behind all the hints. Any other lane
    /// with work looks by itself every 20 s at the latest, that of a held target every 30 s.
    pub async fn wake_all(&self) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO dispatch_lanes (target_id, wake_at)
             SELECT target_id, now() FROM channel_targets t LEFT JOIN dispatch_lanes l USING (target_id)
             WHERE (l.target_id IS NULL OR l.wake_at = 'infinity')
                 AND EXISTS (SELECT 1 FROM sync_queue q WHERE q.target_id = t.target_id)
             ORDER BY target_id
             ON CONFLICT (target_id) DO UPDATE SET wake_at = least(dispatch_lanes.wake_at, excluded.wake_at)",
        )
        .execute(&self.pool)
        .await
        .map(|_| ())
    }

    /// Lets due lanes rest whose targets may not be called: each round would look at them. What makes a target callable again
    /// wakes its lane; a wake that is lost to a race costs the rest. A deleted target's lane has no work ever again.
    pub async fn rest_closed_lanes(&self) -> Result<(), sqlx::Error> {
        sqlx::query(&format!(
            "UPDATE dispatch_lanes lane
             SET wake_at = CASE WHEN closed.lifecycle = 'deleted' THEN 'infinity' ELSE now() + interval '30 s' END
             FROM (SELECT l.target_id, t.lifecycle FROM dispatch_lanes l JOIN channel_targets t USING (target_id)
                   WHERE l.wake_at <= now() AND NOT ({CALLABLE})
                   ORDER BY l.target_id FOR UPDATE OF l SKIP LOCKED) closed
             WHERE lane.target_id = closed.target_id"
        ))
        .execute(&self.pool)
        .await
        .map(|_| ())
    }
}

/// What a round knows of a lane at its end.
pub(super) struct PlannedLane {
    pub target_id: TargetId,
    /// It is not to wake earlier.
    pub rest: Duration,
    /// Due work was left.
    pub has_more: bool,
}

/// A lane wakes when work is due and a slot is free, and not before its rest is over. While it has any work it looks
/// every 20 s at the latest, for leases that ran out. A new statement under the lane's lock sees everything that was
/// queued before the lock.
///
/// A lane that is known to have more due work is not searched for it. Whether it has any is no EXISTS, for which the whole queue
/// may be read and hashed.
pub(super) async fn plan(connection: &mut PgConnection, lanes: &[PlannedLane]) -> Result<(), sqlx::Error> {
    sqlx::query(&format!(
        "UPDATE dispatch_lanes l SET wake_at = least(
             greatest(work.due_at, slot.free_at, s.paused_until,
                      CASE WHEN u.rest_s > 0 THEN clock_timestamp() + make_interval(secs => u.rest_s) END),
             CASE WHEN (SELECT true FROM sync_queue q WHERE q.target_id = l.target_id LIMIT 1)
                  THEN now() + interval '20 s' ELSE 'infinity' END)
         FROM unnest($1::uuid[], $2::float8[], $3::bool[]) AS u (target_id, rest_s, has_more)
         LEFT JOIN rate_scopes s ON s.scope = 'target:' || u.target_id
         LEFT JOIN channel_targets t ON t.target_id = u.target_id
         CROSS JOIN LATERAL (
             SELECT CASE WHEN u.has_more THEN now() ELSE coalesce((
                 SELECT q.due_at FROM sync_queue q JOIN channel_listings c USING (listing_id)
                 LEFT JOIN dispatch_leases d USING (listing_id)
                 WHERE q.target_id = u.target_id AND {CLAIMABLE}
                 ORDER BY q.due_at LIMIT 1), 'infinity') END AS due_at) work
         CROSS JOIN LATERAL (
             SELECT CASE WHEN count(*) FILTER (WHERE free_at > now()) < t.requests THEN '-infinity'
                         ELSE min(free_at) FILTER (WHERE free_at > now()) END AS free_at
             FROM rate_slots WHERE scope = 'target:' || u.target_id) slot
         WHERE l.target_id = u.target_id"
    ))
    .bind(lanes.iter().map(|lane| lane.target_id.0).collect::<Vec<_>>())
    .bind(lanes.iter().map(|lane| lane.rest.as_secs_f64()).collect::<Vec<_>>())
    .bind(lanes.iter().map(|lane| lane.has_more).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(|_| ())
}
