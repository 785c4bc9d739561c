//! Brings the schema up to date while others are at work on it. A change of a table that waits for its lock holds up all who come after
//! it, readers too: behind a backup, which reads each table to its end, that would be an outage. So it gives way, and tries again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::migrate::MigrateError;
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::time::{Instant, sleep};

use super::MIGRATOR;

/// The longest wait for a lock. Longer than the second after which Postgres sends an autovacuum away that holds it.
pub const GIVES_WAY_AFTER: Duration = Duration::from_secs(3);
/// From one try to the next: most of the time nobody waits behind it.
const PAUSE: Duration = Duration::from_secs(7);
/// How often it is looked for what it waits.
const LOOK: Duration = Duration::from_millis(500);
/// The same is told again after so long.
const AGAIN: Duration = Duration::from_secs(60);

/// Somebody else has the lock, or a deadlock was ended at our expense, or our session: a migration ends those of others, and may have met
/// one that begins to migrate.
const GIVES_WAY: [&str; 3] = ["55P03", "40P01", "57P01"];

/// The role that the API reads as. It is the server's, so a role that may make none wants somebody's help.
const READER: &str = "distribution_reader";
/// A role may not do it; and the words in which a migration says so itself.
const REFUSED: [&str; 2] = ["42501", "P0001"];

/// What a session waits for, and who has it. Of other users' sessions only a superuser sees since when.
const WAITS_FOR: &str = "
SELECT CASE w.locktype WHEN 'relation' THEN w.relation::regclass::text WHEN 'advisory' THEN 'its turn to migrate'
        ELSE 'a lock (' || w.locktype || ')' END,
    coalesce(nullif(a.application_name, ''), 'somebody'), a.pid, a.xact_start
FROM pg_locks AS w CROSS JOIN unnest(pg_blocking_pids(w.pid)) AS b (pid) JOIN pg_stat_activity AS a ON a.pid = b.pid
WHERE w.pid = $1 AND NOT w.granted ORDER BY a.xact_start NULLS LAST, a.pid LIMIT 5";

/// Brings the schema up to date, however long others keep it waiting. `tell` hears what it waits for: each time that is something else,
/// and now and then.
pub async fn migrate(pool: &PgPool, mut tell: impl FnMut(&str)) -> Result<(), MigrateError> {
    let mut told: Option<(String, Instant)> = None;
    while let Some(waits_for) = try_once(pool).await? {
        if told.as_ref().is_none_or(|(last, at)| *last != waits_for || at.elapsed() > AGAIN) {
            tell(&waits_for);
            told = Some((waits_for, Instant::now()));
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// `None` when all is done, or else what it gave way to. Each migration is a transaction: those that were done stay so.
async fn try_once(pool: &PgPool) -> Result<Option<String>, MigrateError> {
    let patience = format!("{}ms", GIVES_WAY_AFTER.as_millis());
    let options = pool.connect_options().as_ref().clone().options([("lock_timeout", patience)]);
    // None of the pool's: whoever fails keeps the lock of those who migrate for as long as the session lasts.
    let opened = async {
        let mut connection = options.connect().await?;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
        Ok((connection, pid))
    };
    let (mut connection, pid) = match opened.await.map_err(MigrateError::Execute) {
        Ok(opened) => opened,
        Err(error) if gives_way(&error) => return Ok(Some(error.to_string())),
        Err(error) => return Err(error),
    };
    let mut waits_for = None;
    let done = {
        let work = MIGRATOR.run(&mut connection);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => break done,
                seen = look(pool, pid) => waits_for = seen.or(waits_for),
            }
        }
    };
    // The server sees by itself where this goes wrong.
    let _ = connection.close().await;
    match done {
        Ok(()) => Ok(None),
        Err(error) if gives_way(&error) => Ok(Some(waits_for.unwrap_or_else(|| error.to_string()))),
        Err(error) => Err(error),
    }
}

fn gives_way(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| GIVES_WAY.contains(&code.as_ref()))
}

/// What the session of this process waits for a moment later, if that can be seen.
async fn look(pool: &PgPool, pid: i32) -> Option<String> {
    type Row = (String, String, i32, Option<DateTime<Utc>>);
    sleep(LOOK).await;
    let found: Vec<Row> = sqlx::query_as(WAITS_FOR).bind(pid).fetch_all(pool).await.ok()?;
    let words = found.iter().map(|(what, who, process, since)| {
        let since = since.map(|at| format!(", since {}", at.format("%Y-%m-%d %H:%M:%S UTC"))).unwrap_or_default();
        format!("{what}, held by {who} (process {process}{since})")
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// The statements that help, to be run by a superuser, where a migration failed because the role of this pool may not make the readers' role or
/// make itself one of its members.
pub async fn missing_right(pool: &PgPool, error: &MigrateError) -> Option<String> {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return None };
    let refused = error.as_database_error()?;
    let is_refused = refused.code().is_some_and(|code| REFUSED.contains(&code.as_ref()));
    if !is_refused || !refused.message().contains(READER) {
        return None;
    }
    let role: String = sqlx::query_scalar("SELECT quote_ident(current_user)").fetch_one(pool).await.ok()?;
    Some(format!("CREATE ROLE {READER} NOLOGIN; GRANT {READER} TO {role}"))
}
