//! A demo under way: the villas as they are now, what was published of them, and whether everything has followed.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use demo::villas::{Change, villa};
use serde_json::Value;
use sqlx::PgPool;

use crate::process::Guarded;
use crate::publisher::Publisher;
use crate::sandbox::{self, Sandbox};
use crate::stage::Stage;
use crate::targets::{self, Target, role_of};
use crate::{distribution, postgres};

/// A demo under way.
#[derive(Debug)]
pub struct Run {
    /// Where it lives.
    pub stage: Stage,
    /// Its database.
    pub pool: PgPool,
    /// Its sandbox.
    pub sandbox: Sandbox,
    /// NATS.
    pub publisher: Publisher,
    /// One for each of the cast, in order.
    pub targets: Vec<Target>,
    /// The newest body of each villa, by number.
    pub villas: Vec<Value>,
    /// How many messages the intake must have dealt with.
    pub published: i64,
}

/// Sandbox and service.
#[derive(Debug)]
pub struct Processes {
    /// The sandbox.
    pub sandbox: Guarded,
    /// The service.
    pub service: Guarded,
}

impl Run {
    /// Starts everything on a new database and makes the targets, their listings and their villas; nothing is
    /// published yet.
    pub async fn set_up(stage: &Stage, villas: usize) -> anyhow::Result<(Self, Processes)> {
        postgres::create(stage).await?;
        let publisher = Publisher::connect(stage).await?;
        let secrets = targets::make_secrets(stage)?;
        let (sandbox_process, sandbox) = sandbox::start(stage, None).await?;
        sandbox.admit(&secrets).await?;
        sandbox.enforce_limits().await?;
        let service = distribution::serve(stage, &publisher).await?;
        let targets = distribution::create_targets(stage, &sandbox.address).await?;
        distribution::link(stage, &targets, villas).await?;
        let today = Utc::now().date_naive();
        let run = Self {
            stage: stage.clone(),
            pool: postgres::connect(stage).await?,
            sandbox,
            publisher,
            targets,
            villas: (0..villas).map(|number| villa(number, 1, today)).collect(),
            published: 0,
        };
        Ok((run, Processes { sandbox: sandbox_process, service }))
    }

    /// The target that a villa is on.
    pub fn target_of(&self, villa: usize) -> &Target {
        &self.targets[role_of(villa)]
    }

    /// Publishes every villa as it is.
    pub async fn publish_all(&mut self) -> anyhow::Result<()> {
        self.publisher.publish_all(&self.villas).await?;
        self.published += i64::try_from(self.villas.len())?;
        Ok(())
    }

    /// Changes a villa and publishes it. What happened, in words.
    pub async fn change(&mut self, villa: usize, change: Option<Change>) -> anyhow::Result<String> {
        let body = &mut self.villas[villa];
        let revision = body["revision"].as_u64().context("a body has a revision")?;
        let seed = (villa as u64) << 32 | (revision + 1);
        let words = change.unwrap_or_else(|| Change::any(seed)).apply(body, seed);
        let body = body.clone();
        self.publish(&body).await?;
        Ok(words)
    }

    /// Publishes a body as it is, an old one too.
    pub async fn publish(&mut self, body: &Value) -> anyhow::Result<()> {
        self.publisher.publish(body).await?;
        self.published += 1;
        Ok(())
    }

    /// Waits until every message has been dealt with. Fails with what is missing at the deadline.
    pub async fn taken(&self, deadline: Instant) -> anyhow::Result<()> {
        self.until(deadline, async || Ok(self.not_taken().await?.is_none())).await?;
        match self.not_taken().await? {
            None => Ok(()),
            Some(missing) => anyhow::bail!("{missing}"),
        }
    }

    /// Waits until everything published is at the channel and in the read models.
    pub async fn settled(&self, deadline: Instant) -> anyhow::Result<()> {
        self.until(deadline, async || Ok(self.missing().await?.is_none())).await?;
        match self.missing().await? {
            None => Ok(()),
            Some(missing) => anyhow::bail!("{missing}"),
        }
    }

    async fn until(&self, deadline: Instant, done: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        while !done().await? && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        Ok(())
    }

    async fn not_taken(&self) -> anyhow::Result<Option<String>> {
        let taken = postgres::backlog(&self.pool).await?.taken;
        if taken < self.published {
            return Ok(Some(format!("the intake has dealt with {taken} of {} messages", self.published)));
        }
        let known = postgres::revisions(&self.pool).await?;
        let behind = |body: &&Value| {
            known.get(body["unit_id"].as_str().unwrap_or_default()).copied() != body["revision"].as_i64()
        };
        Ok(self
            .villas
            .iter()
            .find(behind)
            .map(|body| format!("the service has not got {} at revision {}", body["unit_id"], body["revision"])))
    }

    async fn missing(&self) -> anyhow::Result<Option<String>> {
        if let Some(missing) = self.not_taken().await? {
            return Ok(Some(missing));
        }
        let backlog = postgres::backlog(&self.pool).await?;
        let parts = [
            (backlog.queued, "jobs wait in the queue"),
            (backlog.pending, "jobs have no end in the audit"),
            (backlog.behind, "events have not reached every read model"),
        ];
        let missing: Vec<String> =
            parts.iter().filter(|part| part.0 > 0).map(|(count, what)| format!("{count} {what}")).collect();
        Ok((!missing.is_empty()).then(|| missing.join(", ")))
    }
}
