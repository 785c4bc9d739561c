//! The checkpoints: position of the last event that each projection has applied.

use std::collections::HashMap;

use sqlx::{PgConnection, PgPool, Postgres, Transaction};

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

const LOCK: &str = "
SELECT name, position FROM public.projection_checkpoints WHERE name = ANY($1) ORDER BY name FOR UPDATE";

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

/// Locks the checkpoints, in the order of their names, and answers in the order asked for.
pub(crate) async fn lock(connection: &mut PgConnection, names: &[&'static str]) -> Result<Vec<i64>, Error> {
    let mut found: Vec<(String, i64)> = sqlx::query_as(LOCK).bind(names).fetch_all(&mut *connection).await?;
    if found.len() < names.len() {
        sqlx::query(CREATE).bind(names).execute(&mut *connection).await?;
        found = sqlx::query_as(LOCK).bind(names).fetch_all(connection).await?;
    }
    let found: HashMap<String, i64> = found.into_iter().collect();
    Ok(names.iter().map(|name| found.get(*name).copied().unwrap_or(0)).collect())
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
