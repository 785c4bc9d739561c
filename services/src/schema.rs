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

/// The schema, as this process has seen it last, and what else nothing begins without. Clones are one.
#[derive(Debug, Clone)]
pub struct Schema(watch::Sender<Waits>);

/// What is waited for.
#[derive(Debug, Clone, Default)]
struct Waits {
    /// What the schema lacks, in words.
    lacks: Option<String>,
    /// What is asked for at the start beside it.
    held: Option<&'static str>,
}

impl Waits {
    fn is_over(&self) -> bool {
        self.lacks.is_none() && self.held.is_none()
    }
}

impl Schema {
    /// As it is now. One of a newer build has all of it.
    pub async fn of(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self(watch::Sender::new(Waits { lacks: lacks(pool).await?, held: None })))
    }

    /// What it still lacks, in words.
    pub fn lacks(&self) -> Option<String> {
        self.0.borrow().lacks.clone()
    }

    /// Why nothing has begun yet: what it lacks, or what else is waited for.
    pub fn waits_for(&self) -> Option<String> {
        let waits = self.0.borrow();
        waits.lacks.clone().or_else(|| waits.held.map(str::to_owned))
    }

    /// Says that it lacks nothing, and that this is waited for before anything begins, until [`Schema::open`].
    pub fn hold(&self, why: &'static str) {
        self.0.send_replace(Waits { lacks: None, held: Some(why) });
    }

    /// Returns when nothing is waited for.
    pub async fn there(&self) {
        // The other end is this one.
        let _ = self.0.subscribe().wait_for(Waits::is_over).await;
    }

    /// Does this when nothing is waited for, unless the stop comes first.
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

    /// Says that it lacks nothing, and that nothing else is waited for.
    pub fn open(&self) {
        self.0.send_replace(Waits::default());
    }

    async fn wait(&self, pool: &PgPool) {
        let mut told: Option<(String, Instant)> = None;
        loop {
            let words = match lacks(pool).await {
                Ok(None) => break,
                Ok(Some(lacks)) => {
                    self.0.send_modify(|waits| waits.lacks = Some(lacks.clone()));
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
