//! Postgres: can it be reached, is it new enough, does it have the schema.

use adapters::postgres::{MIGRATOR, pending_migrations};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgPool};

use super::report::Report;
use crate::cli::failure::message;
use crate::cli::session::login;
use crate::config::Connections;

/// The oldest version that will do, as the server counts.
const OLDEST: i32 = 150_000;

/// Gives a pool when the schema is there.
pub(super) async fn check(connections: &Connections, report: &mut Report) -> anyhow::Result<Option<PgPool>> {
    let address = match connections.postgres_address() {
        Ok(address) => address,
        Err(invalid) => {
            report.fail("postgres", invalid.to_string(), "set DATABASE_URL, or give --database-url")?;
            return Ok(None);
        }
    };
    let place = place(&address);
    let mut connection = match login(address).await {
        Ok(connection) => connection,
        Err(error) => {
            report.fail("postgres", format!("{place}: {}", message(&error)), advice(&error))?;
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
        report.fail("postgres", format!("version {name} is too old"), "move to PostgreSQL 15 or newer")?;
    } else {
        report.ok("postgres", format!("version {name}"))?;
    }
    let pool = connections.postgres(4).await?;
    let complete = check_schema(&pool, report).await?;
    Ok(complete.then_some(pool))
}

/// Without the password.
fn place(address: &PgConnectOptions) -> String {
    let host = address.get_socket().map_or_else(|| address.get_host().to_owned(), |path| path.display().to_string());
    let (user, database) = (address.get_username(), address.get_database().unwrap_or(address.get_username()));
    format!("database {database} on {host}, port {}, as {user}", address.get_port())
}

/// What to do depends on how far the login came.
fn advice(error: &anyhow::Error) -> &'static str {
    let refused = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    match refused.and_then(DatabaseError::code).as_deref() {
        Some("3D000") => "make the database (`createdb`), or set DATABASE_URL to the one that is meant",
        Some("28P01" | "28000") => "set DATABASE_URL with a user and a password that may log in",
        _ => "start Postgres, or set DATABASE_URL to where it is",
    }
}

async fn check_schema(pool: &PgPool, report: &mut Report) -> anyhow::Result<bool> {
    let pending = pending_migrations(pool).await?;
    if !pending.is_empty() {
        let detail = format!("migrations that the database lacks: {}", pending.join(", "));
        report.fail("schema", detail, "run `distribution migrate`")?;
        return Ok(false);
    }
    let newest: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(pool).await?;
    let known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    if newest > known {
        let detail = format!("version {newest}; this build knows {known}");
        report.warn("schema", detail, "a newer build has migrated this database: run that build")?;
    } else {
        report.ok("schema", format!("version {newest}"))?;
    }
    Ok(true)
}
