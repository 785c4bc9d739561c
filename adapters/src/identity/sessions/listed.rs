//! The sessions that there are, as they were read a moment ago: for where more cookies come than a look each would be good for.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::Mutex;

use super::IDLE_S;

/// They are read at most once in this time.
const FRESH: Duration = Duration::from_secs(1);

const ALIVE: &str = "SELECT secret_hash FROM sessions
WHERE expires_at > now() AND last_seen_at > now() - make_interval(secs => $1)";

/// Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed {
    hashes: Arc<RwLock<HashSet<Vec<u8>>>>,
    /// When they were read; held while they are.
    read_at: Arc<Mutex<Option<Instant>>>,
}

impl Listed {
    /// Whether one of them has this hash. One who asks reads them, and nobody waits for that: what was read before is good enough.
    pub(super) async fn has(&self, hash: &[u8], pool: &PgPool) -> Result<bool, sqlx::Error> {
        if let Ok(mut read_at) = self.read_at.try_lock()
            && read_at.is_none_or(|at| at.elapsed() >= FRESH)
        {
            let hashes: Vec<Vec<u8>> = sqlx::query_scalar(ALIVE).bind(IDLE_S).fetch_all(pool).await?;
            *self.hashes.write().unwrap_or_else(PoisonError::into_inner) = hashes.into_iter().collect();
            *read_at = Some(Instant::now());
        }
        Ok(self.hashes.read().unwrap_or_else(PoisonError::into_inner).contains(hash))
    }

    /// One that has begun here is there at once. While nobody asks they are read anew before the next one, and nobody would take it out.
    pub(super) fn add(&self, hash: &[u8]) {
        if self.read_at.try_lock().is_ok_and(|read_at| read_at.is_none_or(|at| at.elapsed() >= FRESH)) {
            return;
        }
        self.hashes.write().unwrap_or_else(PoisonError::into_inner).insert(hash.to_vec());
    }
}
