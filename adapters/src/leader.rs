//! One active holder of a role per database, by a session advisory lock: it is gone when
//! its session is, which the server notices within half a minute of a host that went silent.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Postgres, pool::PoolConnection};

/// A role that is held. It is given up when this is dropped, or when the session ends.
pub struct Leadership {
    connection: PoolConnection<Postgres>,
    key: i64,
    /// The session may hold the lock.
    held: bool,
}

/// A session that does not answer for so long counts as gone.
const SILENT: Duration = Duration::from_secs(5);

impl std::fmt::Debug for Leadership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leadership").field("key", &self.key).finish_non_exhaustive()
    }
}

fn key_of(role: &str) -> i64 {
    let hash = domain::hash::PayloadHash::of_bytes(role.as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    i64::from_be_bytes(bytes)
}

/// The session that holds a role, as Postgres tells of it: of another user's it says neither where from nor since when, but to those who may
/// read all of its statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadingSession {
    /// Its process at the server.
    pub pid: i32,
    /// What it calls itself; often empty.
    pub application: String,
    /// The address that it comes from; none where it came by a socket.
    pub address: Option<String>,
    /// When it began, UTC.
    pub since: Option<DateTime<Utc>>,
}

impl Leadership {
    /// Whose session holds the role.
    pub async fn held_by(pool: &PgPool, role: &str) -> Result<Option<LeadingSession>, sqlx::Error> {
        sqlx::query_as!(
            LeadingSession,
            r#"SELECT l.pid AS "pid!", coalesce(a.application_name, '') AS "application!", host(a.client_addr) AS address,
                   a.backend_start AS since
               FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
               WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                   AND ((l.classid::bigint << 32) | l.objid::bigint) = $1
               LIMIT 1"#,
            key_of(role)
        )
        .fetch_optional(pool)
        .await
    }

    /// Takes the role if nobody holds it.
    pub async fn try_take(pool: &PgPool, role: &str) -> Result<Option<Self>, sqlx::Error> {
        let key = key_of(role);
        // Whoever gives up waiting here may have got the lock: until the answer says otherwise, it is held.
        let mut taken = Self { connection: pool.acquire().await?, key, held: true };
        taken.held =
            sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(key).fetch_one(&mut *taken.connection).await?;
        Ok(taken.held.then_some(taken))
    }

    /// Waits until the role is free and takes it.
    pub async fn take(pool: &PgPool, role: &str, poll: Duration) -> Result<Self, sqlx::Error> {
        loop {
            if let Some(leadership) = Self::try_take(pool, role).await? {
                return Ok(leadership);
            }
            tokio::time::sleep(poll).await;
        }
    }

    /// Whether the session that holds the role is still there.
    pub async fn is_held(&mut self) -> bool {
        let connection: &mut PgConnection = &mut self.connection;
        tokio::time::timeout(SILENT, connection.ping()).await.is_ok_and(|answer| answer.is_ok())
    }

    /// Gives the role up so that another can take it at once. Where the session does not answer, its end does that: it is closed either way.
    pub async fn release(mut self) {
        let unlock = sqlx::query("SELECT pg_advisory_unlock($1)").bind(self.key).execute(&mut *self.connection);
        match tokio::time::timeout(SILENT, unlock).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(error = %error, "the session of a role ended before it was given up"),
            Err(_) => tracing::debug!("the session of a role was silent when it was given up"),
        }
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        // The session must not go back to the pool with the lock still held.
        if self.held {
            self.connection.close_on_drop();
        }
    }
}
