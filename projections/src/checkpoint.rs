//! The checkpoints: position of the last event that each projection has applied.

use std::collections::HashMap;

use domain::recorded::Recorded;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::column::column;
use crate::error::Error;

/// How far one projection came with a batch.
pub(crate) struct Advance {
    pub(crate) name: &'static str,
    pub(crate) position: i64,
    pub(crate) events: i64,
}

// A plan made while a table is small must not scan it when it is big: keys are always looked up by index.
// Commits need not wait for the disk: rows and checkpoint are lost together, and the journal still has the events.
const SETTINGS: [&str; 6] = [
    "synchronous_commit = off",
    "plan_cache_mode = force_generic_plan",
    "jit = off",
    "enable_seqscan = off",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
];

// Asked with the lock, so on the server on which the rows are written: another one may have taken the place of the one that was read.
const LOCK: &str = "
SELECT checkpoint.name, checkpoint.position, $2::bigint IS NULL OR EXISTS (
    SELECT FROM public.events AS event WHERE event.position = $2 AND event.event_id = $3::uuid)
FROM public.projection_checkpoints AS checkpoint WHERE checkpoint.name = ANY($1) ORDER BY checkpoint.name FOR UPDATE";

const CREATE: &str = "
INSERT INTO public.projection_checkpoints (name) SELECT UNNEST($1::text[]) ON CONFLICT (name) DO NOTHING";

const STORE: &str = "
UPDATE public.projection_checkpoints AS checkpoint SET
    position = new.position, events = checkpoint.events + new.events, updated_at = clock_timestamp()
FROM UNNEST($1::text[], $2::bigint[], $3::bigint[]) AS new (name, position, events)
WHERE checkpoint.name = new.name";

/// Begins a transaction in which statements of projections run, settings and all in one round trip. To be waited for: sqlx
/// forgets a transaction whose beginning is dropped on the way.
pub(crate) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
    let settings: String = SETTINGS.iter().map(|setting| format!("; SET LOCAL {setting}")).collect();
    Ok(pool.begin_with(format!("BEGIN{settings}")).await?)
}

/// Sets how statements of projections run on this connection from now on.
pub(crate) async fn tune(connection: &mut PgConnection) -> Result<(), Error> {
    for setting in SETTINGS {
        sqlx::query(&format!("SET {setting}")).execute(&mut *connection).await?;
    }
    // An index over all rows takes its time.
    sqlx::query("SET statement_timeout = 0").execute(connection).await?;
    Ok(())
}

/// Locks the checkpoints, in the order of their names, and answers in the order asked for. An error where the journal does not have
/// `last`, the last of the events that are to be applied.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    names: &[&'static str],
    last: Option<&Recorded>,
) -> Result<Vec<i64>, Error> {
    let (position, event_id) = last.map(|last| (last.position.0, last.event_id)).unzip();
    let mut found = locked(connection, names, position, event_id).await?;
    if found.len() < names.len() {
        sqlx::query(CREATE).bind(names).execute(&mut *connection).await?;
        found = locked(connection, names, position, event_id).await?;
    }
    if let Some(position) = position
        && found.iter().any(|(_, _, is_there)| !is_there)
    {
        return Err(Error::Lost { position });
    }
    let found: HashMap<String, i64> = found.into_iter().map(|(name, position, _)| (name, position)).collect();
    Ok(names.iter().map(|name| found.get(*name).copied().unwrap_or(0)).collect())
}

/// Each checkpoint that there is, and whether the journal has the event.
async fn locked(
    connection: &mut PgConnection,
    names: &[&'static str],
    position: Option<i64>,
    event_id: Option<Uuid>,
) -> Result<Vec<(String, i64, bool)>, sqlx::Error> {
    sqlx::query_as(LOCK).bind(names).bind(position).bind(event_id).fetch_all(connection).await
}

/// Reads one checkpoint; 0 before the first event.
pub(crate) async fn read(connection: &mut PgConnection, name: &str) -> Result<i64, Error> {
    let position = sqlx::query_scalar("SELECT position FROM public.projection_checkpoints WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    Ok(position.unwrap_or(0))
}

/// The lowest of the checkpoints; 0 where one has not begun.
pub(crate) async fn lowest(pool: &PgPool, names: &[&'static str]) -> Result<i64, Error> {
    let lowest: Option<i64> = sqlx::query_scalar(
        "SELECT min(COALESCE(position, 0))
         FROM UNNEST($1::text[]) AS names (name) LEFT JOIN public.projection_checkpoints USING (name)",
    )
    .bind(names)
    .fetch_one(pool)
    .await?;
    Ok(lowest.unwrap_or(0))
}

/// Moves checkpoints on.
pub(crate) async fn store(connection: &mut PgConnection, advances: &[Advance]) -> Result<(), Error> {
    if advances.is_empty() {
        return Ok(());
    }
    sqlx::query(STORE)
        .bind(column(advances, |advance| advance.name))
        .bind(column(advances, |advance| advance.position))
        .bind(column(advances, |advance| advance.events))
        .execute(connection)
        .await?;
    Ok(())
}
