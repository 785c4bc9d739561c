//! Wakes the dispatchers' lanes, by rows that the next round takes: a lane itself may be in a round's hands for a while.
//! A wake is a hint in operational state, so a rebuild of the queue leaves it alone.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::column::column;
use crate::error::Error;

/// When each target may next have something to do; `None` is at once.
#[derive(Default)]
pub(super) struct Wakes(BTreeMap<Uuid, Option<DateTime<Utc>>>);

impl Wakes {
    /// The target has something to do at once.
    pub(super) fn now(&mut self, target_id: Uuid) {
        self.0.insert(target_id, None);
    }

    /// The target has something to do at `due_at`.
    pub(super) fn at(&mut self, target_id: Uuid, due_at: DateTime<Utc>) {
        let earliest = self.0.entry(target_id).or_insert(Some(due_at));
        *earliest = earliest.map(|at| at.min(due_at));
    }
}

const WAKE: &str = "
INSERT INTO public.dispatch_wakes (target_id, wake_at)
SELECT target_id, COALESCE(wake_at, clock_timestamp())
FROM UNNEST($1::uuid[], $2::timestamptz[]) AS wakes (target_id, wake_at)
WHERE current_schema() NOT LIKE 'rebuild\\_%'";

pub(super) async fn wake(connection: &mut PgConnection, wakes: Wakes) -> Result<(), Error> {
    if wakes.0.is_empty() {
        return Ok(());
    }
    let wakes: Vec<_> = wakes.0.into_iter().collect();
    sqlx::query(WAKE)
        .bind(column(&wakes, |(target_id, _)| *target_id))
        .bind(column(&wakes, |(_, wake_at)| *wake_at))
        .execute(connection)
        .await?;
    Ok(())
}
