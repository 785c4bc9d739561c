//! Postgres: can it be reached, is it new enough, does it have the schema.

use adapters::postgres::{MIGRATOR, pending_migrations};
use sqlx::{Connection, PgPool};

use super::report::Report;
use crate::cli::failure::message;
use crate::cli::session::login;
use crate::config::Connections;

/// The oldest version that will do, as the server counts.
const OLDEST: i32 = 150_000;

/// Gives a pool when the schema is there.
pub(super) async fn check(connections: &Connections, report: &mut Report) -> anyhow::Result<Option<PgPool>> {
    let mut connection = match login(&connections.database_url).await {
        Ok(connection) => connection,
        Err(error) => {
            let advice = "start Postgres, or set DATABASE_URL to where it is; the database must exist";
            report.fail("postgres", message(&error), advice)?;
            return Ok(None);
        }
    };
    let version: (i32, String) =
        sqlx::query_as("SELECT current_setting('server_version_num')::int, current_setting('server_version')")
            .fetch_one(&mut connection)
            .await?;
    // The server notices by itself when this goes wrong.
    let _ = connection.close().await;
    let (number, name) = version;
    if number < OLDEST {
        report.fail("postgres", format!("version {name}"), "use PostgreSQL 15 or newer")?;
    } else {
        report.ok("postgres", format!("version {name}"))?;
    }
    let pool = connections.postgres(4).await?;
    let complete = check_schema(&pool, report).await?;
    Ok(complete.then_some(pool))
}

async fn check_schema(pool: &PgPool, report: &mut Report) -> anyhow::Result<bool> {
    let pending = pending_migrations(pool).await?;
    if !pending.is_empty() {
        let detail = format!("{} migrations are pending: {}", pending.len(), pending.join(", "));
        report.fail("schema", detail, "run `distribution migrate`")?;
        return Ok(false);
    }
    let newest: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(pool).await?;
    let known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    if newest > known {
        let detail = format!("version {newest}; this build knows {known}");
        report.warn("schema", detail, "a newer build was here: use that one")?;
    } else {
        report.ok("schema", format!("version {newest}"))?;
    }
    Ok(true)
}
