//! The pool and the migrations.

mod migrating;

use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool, Postgres, Transaction};

pub use migrating::{GIVES_WAY_AFTER, migrate, missing_right};

/// The schema, forward only, embedded in the binary. What a newer build has added is left alone: an older one starts again in
/// the middle of an upgrade, and after a roll-back.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../migrations");
    migrator.set_ignore_missing(true);
    migrator
});

/// A client that is gone without a word must not hold its locks: the server ends a transaction in which nothing is
/// asked, and a connection whose other end no longer answers, within half a minute.
///
/// Who waits for a lock here wants to see what its last holder wrote, whatever isolation a database or role has by default.
const SESSION: [(&str, &str); 6] = [
    ("default_transaction_isolation", "read\\ committed"),
    ("idle_in_transaction_session_timeout", "30s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30s"),
];

/// How the roles' statements are planned: they look rows up by their keys, and a connection keeps its plans. One that was made while
/// tables were empty, as they are on the first day, would read whole tables until Postgres analyses them, a minute later or more: an
/// append to the journal then takes a hundred times as long.
const LOOKUPS: [(&str, &str); 4] =
    [("enable_seqscan", "off"), ("enable_hashjoin", "off"), ("enable_mergejoin", "off"), ("jit", "off")];

/// The same for one transaction, behind `BEGIN`, over whatever pool.
pub(crate) static PLANNED_FOR_LOOKUPS: LazyLock<String> =
    LazyLock::new(|| LOOKUPS.map(|(setting, value)| format!("SET LOCAL {setting} = {value}")).join("; "));

/// Behind `BEGIN`, for a transaction over a pool of lookups that reads lists, or counts: the planner chooses freely in it.
pub const PLANNED_FREELY: &str =
    "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on";

/// Where somebody is there, a pool is open within this time.
const OPENS_WITHIN: Duration = Duration::from_millis(500);

/// A connection that was used within this time is not pinged.
const RESTED: Duration = Duration::from_secs(1);

/// Opens a pool of at most `connections`; `application` names it in `pg_stat_activity`.
pub async fn connect(url: &str, connections: u32, application: &str) -> Result<PgPool, sqlx::Error> {
    open(pool_of(connections), url, application, &[]).await
}

/// The same for whoever looks rows up by their keys, all day long; lists and counts are read after [`PLANNED_FREELY`].
pub async fn connect_for_lookups(url: &str, connections: u32, application: &str) -> Result<PgPool, sqlx::Error> {
    open(pool_of(connections), url, application, &LOOKUPS).await
}

/// The same for those who do not try again: a connection that has rested is pinged before its use, and another made where it has ended.
pub async fn connect_pinging(url: &str, connections: u32, application: &str) -> Result<PgPool, sqlx::Error> {
    // After Postgres was away each earlier connection would cost a caller of the API a refusal. Under load none has rested, and nothing
    // is paid. Of an error sqlx would warn each time.
    let pinging = pool_of(connections).before_acquire(|connection, meta| {
        Box::pin(async move { Ok(meta.idle_for < RESTED || connection.ping().await.is_ok()) })
    });
    open(pinging, url, application, &LOOKUPS).await
}

fn pool_of(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(15))
        // A ping before each use costs a round trip; whoever meets a connection that ended tries again anyway.
        .test_before_acquire(false)
}

async fn open(
    pool: PgPoolOptions,
    url: &str,
    application: &str,
    planning: &[(&str, &str)],
) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name(application);
    let options = options.options(SESSION).options(planning.iter().copied());
    if let Ok(opened) = tokio::time::timeout(OPENS_WITHIN, pool.clone().connect_with(options.clone())).await {
        return opened;
    }
    // A pool would go on trying for its whole time-out before it says that nobody is there. A login that did so each time would be one
    // process of Postgres more for every run of the command line.
    options.connect().await?.close().await?;
    pool.connect_with(options).await
}

/// Whether what Postgres did not do may be done a moment later: it is away, or has no place, room, time or lock for us now, or somebody
/// else was faster. Whatever else it refuses is a bug: a statement that is wrong, or a value that should not have come so far.
pub fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| code_passes(&code)),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // So sqlx tells the end of a line on which nobody answered its first word, as where a proxy is up and Postgres is not.
        sqlx::Error::Protocol(words) => words.starts_with("unexpected response from SSLRequest"),
        _ => false,
    }
}

/// By SQLSTATE. Whole classes: connections, logins, the database's name, rollbacks (deadlocks among them), resources, interventions of
/// operators (time-outs too), trouble of the system. Single ones: a server that only reads, as a standby does, two more time-outs, a
/// database that takes no connections, and locks.
fn code_passes(code: &str) -> bool {
    ["08", "28", "3D", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        || ["25006", "25P03", "25P04", "55000", "55006", "55P03"].contains(&code)
}

/// Why Postgres cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// It answered that it takes nobody now, in its words.
    #[error("{0}")]
    Refused(String),
    /// There was no answer.
    #[error("{0}")]
    Silent(String),
}

/// Whether Postgres can be asked, by a connection of the pool or else by a new one, each within `patience`; or why not, which the
/// pool does not say: it tries until its own time-out, whatever the server answered.
pub async fn answers(pool: &PgPool, patience: Duration) -> Result<(), Unasked> {
    if matches!(tokio::time::timeout(patience, sqlx::query("SELECT 1").execute(pool)).await, Ok(Ok(_))) {
        return Ok(());
    }
    let anew = async { pool.connect_options().connect().await?.close().await };
    match tokio::time::timeout(patience, anew).await {
        Ok(asked) => asked.map_err(|error| match &error {
            sqlx::Error::Database(_) => Unasked::Refused(error.to_string()),
            _ => Unasked::Silent(error.to_string()),
        }),
        Err(_) => Err(Unasked::Silent(format!("no answer within {} ms", patience.as_millis()))),
    }
}

/// Begins a transaction with a statement of one's own. Whoever gives up waiting for it leaves nothing behind: sqlx forgets a
/// transaction whose beginning is dropped on the way, and the connection would go back to the pool with it open.
pub async fn begin_with(pool: &PgPool, statement: String) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let beginning = tokio::spawn(async move { pool.begin_with(statement).await });
    beginning.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// The same with an ordinary one.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_with(pool, "BEGIN".to_owned()).await
}

/// Migrations that this build has and the database has not, as `version description`.
pub async fn pending_migrations(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(pool).await?;
    let applied: Vec<i64> = if exists {
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success").fetch_all(pool).await?
    } else {
        Vec::new()
    };
    let pending = MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version));
    Ok(pending.map(|migration| format!("{:04} {}", migration.version, migration.description)).collect())
}

/// What a database tells of its migrations that is neither one of this build done nor one pending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OddMigrations {
    /// Not marked as done. [`migrate`] does nothing beside one.
    pub half_done: Vec<i64>,
    /// Done from another text than this build has. [`migrate`] refuses them.
    pub changed: Vec<i64>,
    /// The newest one, where this build does not know it.
    pub newer: Option<i64>,
}

/// The newest migration that this build knows.
pub fn newest_migration() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// What is odd about the migrations of a database.
pub async fn odd_migrations(pool: &PgPool) -> Result<OddMigrations, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(pool).await?;
    if !exists {
        return Ok(OddMigrations::default());
    }
    let all = "SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version";
    let there: Vec<(i64, bool, Vec<u8>)> = sqlx::query_as(all).fetch_all(pool).await?;
    let mut odd = OddMigrations::default();
    for (version, success, checksum) in there {
        let ours = MIGRATOR.iter().find(|migration| migration.version == version);
        if !success {
            odd.half_done.push(version);
        } else if ours.is_some_and(|ours| *ours.checksum != *checksum) {
            odd.changed.push(version);
        } else if version > newest_migration() {
            odd.newer = Some(version);
        }
    }
    Ok(odd)
}
