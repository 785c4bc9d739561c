//! Postgres: can it be reached, is it new enough, is it the same time there, does it have the schema.

use adapters::postgres::{newest_migration, odd_migrations, pending_migrations};
use anyhow::Context as _;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgPool};

use super::report::Report;
use crate::cli::failure::message;
use crate::cli::session::{LOGIN, login};
use crate::clock::Ahead;
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
    let pool = connections.postgres_within(LOGIN, 4).await.context("cannot reach Postgres")?;
    check_clock(&pool, report).await?;
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

async fn check_clock(pool: &PgPool, report: &mut Report) -> anyhow::Result<()> {
    let ahead = Ahead::of(pool).await?;
    if ahead.is_too_far() {
        let advice = "have NTP set both (chronyd, systemd-timesyncd). Two hosts may differ by 5 s at most: beyond that a \
                      creation may be taken for settled too early, and what is due is tried too early or too late";
        return report.warn("clock", ahead.words(), advice);
    }
    report.ok("clock", "as Postgres's, but for 2 s at most")
}

/// Whether the schema has all that this build needs. What else is odd about it is told, and the rest can be looked at all the same.
async fn check_schema(pool: &PgPool, report: &mut Report) -> anyhow::Result<bool> {
    let (pending, odd) = (pending_migrations(pool).await?, odd_migrations(pool).await?);
    if !odd.half_done.is_empty() {
        let detail = format!("not marked as done: {}", migrations(&odd.half_done));
        let advice = "`distribution migrate` refuses this, as does a `serve` that migrates. A migration is done whole or \
                      not at all, so somebody has changed its row of _sqlx_migrations: set success to true there if its \
                      tables are as it leaves them; if they are not, and it is the newest, delete the row; else put a backup back";
        report.fail("schema", detail, advice)?;
    }
    if !odd.changed.is_empty() {
        let detail = format!("done from another text than this build has: {}", migrations(&odd.changed));
        let advice = "`distribution migrate` refuses this, as does a `serve` that migrates. Run the build that migrated \
                      this database, or a release; if somebody has changed the checksum in _sqlx_migrations, put it back \
                      as it is in a backup";
        report.fail("schema", detail, advice)?;
    }
    let half_done = |name: &&String| odd.half_done.iter().any(|version| name.starts_with(&format!("{version:04} ")));
    let to_be_done: Vec<&str> = pending.iter().filter(|name| !half_done(name)).map(String::as_str).collect();
    if !to_be_done.is_empty() {
        let detail = format!("migrations that the database lacks: {}", to_be_done.join(", "));
        report.fail("schema", detail, "run `distribution migrate`")?;
    }
    if !pending.is_empty() {
        return Ok(false);
    }
    if let Some(newest) = odd.newer {
        let detail = format!("version {newest}; this build knows {}", newest_migration());
        report.warn("schema", detail, "a newer build has migrated this database: run that build")?;
    } else if odd.half_done.is_empty() && odd.changed.is_empty() {
        report.ok("schema", format!("version {}", newest_migration()))?;
    }
    Ok(true)
}

fn migrations(versions: &[i64]) -> String {
    let names: Vec<String> = versions.iter().map(|version| format!("{version:04}")).collect();
    format!("migration {}", names.join(", "))
}
