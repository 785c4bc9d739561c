//! Whether the schema has all that this build needs. Until it does nothing works on it: roles wait, and probes say why.

use std::time::Duration;

use adapters::postgres::{migrate, missing_right, pending_migrations};
use domain::counted::counted;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// From one look to the next.
const LOOK: Duration = Duration::from_secs(1);
/// That it is still waited for is told again after so long.
const AGAIN: Duration = Duration::from_secs(60);

/// The schema, as this process has seen it last. Clones are one.
#[derive(Debug, Clone)]
pub struct Schema(watch::Sender<Option<String>>);

impl Schema {
    /// As it is now. One of a newer build has all of it.
    pub async fn of(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self(watch::Sender::new(lacks(pool).await?)))
    }

    /// What it still lacks, in words.
    pub fn lacks(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Returns when it lacks nothing.
    pub async fn there(&self) {
        // The other end is this one.
        let _ = self.0.subscribe().wait_for(Option::is_none).await;
    }

    /// Does this when it lacks nothing, unless the stop comes first.
    pub async fn then(self, stop: CancellationToken, work: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = self.there() => {}
            () = stop.cancelled() => return,
        }
        work.await;
    }

    /// Brings it up to date, or waits until somebody else has: where `migrates` is false it is not ours to change. Who waits for it begins at
    /// [`Schema::open`].
    pub async fn complete(&self, pool: &PgPool, migrates: bool) -> anyhow::Result<()> {
        if migrates {
            let tell = |waits_for: &str| {
                tracing::warn!(waits_for, "a migration waits: it lets others through each time, and tries again");
            };
            bring_up_to_date(pool, tell).await?;
        } else {
            self.wait(pool).await;
        }
        Ok(())
    }

    /// Says that it lacks nothing.
    pub fn open(&self) {
        self.0.send_replace(None);
    }

    async fn wait(&self, pool: &PgPool) {
        let mut told: Option<(String, Instant)> = None;
        loop {
            let words = match lacks(pool).await {
                Ok(None) => break,
                Ok(Some(lacks)) => {
                    self.0.send_replace(Some(lacks.clone()));
                    lacks
                }
                Err(error) => format!("the schema cannot be looked at: {error}"),
            };
            if told.as_ref().is_none_or(|(last, at)| *last != words || at.elapsed() > AGAIN) {
                tracing::warn!("{words}; nothing is done before `distribution migrate` has been run");
                told = Some((words, Instant::now()));
            }
            sleep(LOOK).await;
        }
        if told.is_some() {
            tracing::info!("the schema is there");
        }
    }
}

/// Runs what is pending; `tell` hears what that waits for. Where a right is missing that others have to give, the error has their statements.
pub async fn bring_up_to_date(pool: &PgPool, tell: impl FnMut(&str)) -> anyhow::Result<()> {
    let Err(error) = migrate(pool, tell).await else { return Ok(()) };
    let failed = "failed to bring the schema up to date";
    let failed = match missing_right(pool, &error).await {
        Some(statements) => {
            let who = "a superuser has to run this once, the first where there is no such role";
            format!("{failed}; {who}: {statements}")
        }
        None => failed.to_owned(),
    };
    Err(anyhow::Error::new(error).context(failed))
}

async fn lacks(pool: &PgPool) -> Result<Option<String>, sqlx::Error> {
    let pending = pending_migrations(pool).await?.len();
    Ok((pending > 0).then(|| format!("the schema lacks {} of this build", counted(pending, "migration"))))
}
