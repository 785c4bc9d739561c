//! That a process runs, as others see it: an advisory lock of a session of its own, which ends with it. One that is killed is seen to be
//! gone at once, one whose host fell silent within half a minute.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::time::{sleep, timeout};

/// From one look at the session to the next.
const PULSE: Duration = Duration::from_secs(1);
/// A session that does not answer for so long counts as gone.
const SILENT: Duration = Duration::from_secs(5);
/// After so long another one is opened.
const AGAIN: Duration = Duration::from_millis(500);
/// Who is gone still is after so long. A session may have been ended without its process, which has another one by then; and what a
/// killed process had sent to Postgres has begun there.
const STAYS_GONE: Duration = Duration::from_secs(3);

/// This process. Clones are one.
#[derive(Debug, Clone)]
pub struct Presence(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: i64,
    seen: AtomicBool,
}

impl Default for Presence {
    /// Nobody sees it before it is kept up.
    fn default() -> Self {
        Self(Arc::new(Inner { id: rand::random(), seen: AtomicBool::new(false) }))
    }
}

impl Presence {
    /// By what others can ask for it ([`Self::is_gone`]); `None` while they cannot.
    pub fn id(&self) -> Option<i64> {
        self.0.seen.load(Ordering::Relaxed).then_some(self.0.id)
    }

    /// Keeps it up until this is dropped.
    pub async fn keep_up(&self, pool: &PgPool) {
        loop {
            let Err(error) = self.hold(pool).await;
            self.0.seen.store(false, Ordering::Relaxed);
            tracing::debug!(%error, "others cannot see that this process runs");
            sleep(AGAIN).await;
        }
    }

    async fn hold(&self, pool: &PgPool) -> Result<Infallible, sqlx::Error> {
        let mut session = in_time(pool.connect_options().connect()).await?;
        // Shared: one of before, whose end Postgres has not seen yet, may have it still.
        let lock = sqlx::query("SELECT pg_advisory_lock_shared($1)").bind(self.0.id);
        in_time(lock.execute(&mut session)).await?;
        self.0.seen.store(true, Ordering::Relaxed);
        loop {
            sleep(PULSE).await;
            in_time(session.ping()).await?;
        }
    }

    /// Whether the process that goes by this id has ended. It takes a while to be sure.
    pub async fn is_gone(&self, id: i64, pool: &PgPool) -> Result<bool, sqlx::Error> {
        if id == self.0.id || !is_free(id, pool).await? {
            return Ok(false);
        }
        sleep(STAYS_GONE).await;
        is_free(id, pool).await
    }
}

/// Whether nobody holds the lock. It is given back with the statement.
async fn is_free(id: i64, pool: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(id).fetch_one(pool).await
}

async fn in_time<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(SILENT, asked).await.unwrap_or_else(|_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into())))
}
