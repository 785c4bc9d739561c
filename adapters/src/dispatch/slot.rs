//! Slots: what one call holds, and how it is given back.

use domain::ids::TargetId;
use domain::window::MARGIN_MS;

use super::DispatchStore;

/// A slot of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The scope as text.
    pub scope: String,
    /// Its number within the scope.
    pub number: i32,
}

/// What one call holds: a slot in every limited scope that it falls under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotHold {
    /// The target whose lane gave it.
    pub target_id: TargetId,
    /// The slots.
    pub slots: Vec<Slot>,
}

/// The margin as SQL takes it, in milliseconds.
pub(super) fn margin_ms() -> f64 {
    f64::from(i32::try_from(MARGIN_MS).unwrap_or(i32::MAX))
}

fn columns(holds: &[SlotHold]) -> (Vec<String>, Vec<i32>) {
    holds.iter().flat_map(|hold| &hold.slots).map(|slot| (slot.scope.clone(), slot.number)).unzip()
}

impl DispatchStore {
    /// Frees the slots of calls that have ended by now: a window and a margin from now.
    pub async fn free_after_window(&self, holds: &[SlotHold]) -> Result<(), sqlx::Error> {
        let (scopes, numbers) = columns(holds);
        sqlx::query(
            "WITH freed AS (
                 UPDATE rate_slots s
                 SET free_at = clock_timestamp() + make_interval(secs => (coalesce(r.window_ms, 0) + $3) / 1000.0)
                 FROM unnest($1::text[], $2::int[]) AS u (scope, slot) JOIN rate_scopes r ON r.scope = u.scope
                 WHERE s.scope = u.scope AND s.slot = u.slot
                 RETURNING s.scope, s.free_at
             )
             UPDATE dispatch_lanes l SET wake_at = f.free_at
             FROM (SELECT scope, min(free_at) AS free_at FROM freed GROUP BY scope) f
             WHERE f.scope = 'target:' || l.target_id AND l.target_id = ANY($4) AND l.wake_at > f.free_at",
        )
        .bind(&scopes)
        .bind(&numbers)
        .bind(margin_ms())
        .bind(holds.iter().map(|hold| hold.target_id.0).collect::<Vec<_>>())
        .execute(&self.pool)
        .await
        .map(|_| ())
    }

    /// Gives slots back that no call used.
    pub async fn free_now(&self, holds: &[SlotHold]) -> Result<(), sqlx::Error> {
        let (scopes, numbers) = columns(holds);
        sqlx::query(
            "WITH freed AS (
                 UPDATE rate_slots s SET free_at = '-infinity'
                 FROM unnest($1::text[], $2::int[]) AS u (scope, slot)
                 WHERE s.scope = u.scope AND s.slot = u.slot
             )
             UPDATE dispatch_lanes l SET wake_at = least(l.wake_at, clock_timestamp()) WHERE l.target_id = ANY($3)",
        )
        .bind(&scopes)
        .bind(&numbers)
        .bind(holds.iter().map(|hold| hold.target_id.0).collect::<Vec<_>>())
        .execute(&self.pool)
        .await
        .map(|_| ())
    }
}
