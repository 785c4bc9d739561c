//! Turns of a target's secret. Whoever puts another value in its place, has the target refer to another one, or takes away what no target
//! refers to, does so one after the other, at whatever door and in whatever process.

use adapters::postgres::begin_with;
use domain::ids::TargetId;
use sqlx::{PgPool, Postgres, Transaction};

/// Whoever waits for a keeper of secrets that does not answer keeps the others of the target no longer than this. The lock itself is
/// a transaction in which nothing is asked, and outlives all that its holder waits for: a keeper far away may take a minute to take a
/// secret, and another one to take it back.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '300s'";
/// The SQLSTATE of the first.
const NOT_IN_TIME: &str = "55P03";

/// A turn, until it is ended or dropped.
pub struct Turn {
    target: TargetId,
    lock: Transaction<'static, Postgres>,
}

/// Why there is none. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NoTurn {
    /// Somebody else has had it for all the time that it was waited for.
    #[error("another secret is being put there; try again")]
    Taken,
    /// Postgres failed.
    #[error("failed to take the turn of a secret: {0}")]
    Database(#[from] sqlx::Error),
}

impl Turn {
    /// From here until its end nobody else has the turn of this target.
    pub async fn take(pool: &PgPool, target: TargetId) -> Result<Self, NoTurn> {
        let mut lock = begin_with(pool, BEGIN.to_owned()).await?;
        let locked = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(format!("secret/{target}"))
            .execute(&mut *lock)
            .await;
        match locked {
            Ok(_) => Ok(Self { target, lock }),
            Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some(NOT_IN_TIME) => Err(NoTurn::Taken),
            Err(error) => Err(error.into()),
        }
    }

    /// It is the next one's.
    pub async fn end(self) {
        if let Err(error) = self.lock.commit().await {
            // What it kept apart is done.
            tracing::debug!(target_id = %self.target, %error, "the turn of a rotation had ended before");
        }
    }
}
