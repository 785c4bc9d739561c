//! What a command works with: the connections it asks for, who gives it, and where its answer goes.

use std::sync::OnceLock;
use std::time::Duration;

use adapters::event_store::{Journal, JournalOptions};
use adapters::nats::Nats;
use adapters::postgres::pending_migrations;
use adapters::telemetry::{Kind, Stage, Telemetry, new_trace};
use anyhow::Context;
use domain::counted::counted;
use domain::ids::TargetId;
use domain::metadata::Actor;
use domain::target::{Target, TargetError};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, PgPool};

use super::failure::Failure;
use super::output::Out;
use crate::commands::{AskedBy, Commands};
use crate::config::Connections;
use crate::syncing::Syncing;
use crate::telemetry;

/// Postgres answers a login within this time or counts as away.
pub(super) const LOGIN: Duration = Duration::from_secs(5);
/// NATS answers within this time or counts as away, however many servers it has.
const NATS_ANSWERS: Duration = Duration::from_secs(3);
/// Connections of one command; they are opened when they are needed.
const POOL: u32 = 8;

/// Nobody waits longer for the receiver of traces.
const TELLING: Duration = Duration::from_secs(2);

/// One run of the command line.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connections: Connections,
    pub(super) actor: Actor,
    pub(super) out: Out,
    /// Started by the first command that changes or publishes something.
    telemetry: OnceLock<Option<Telemetry>>,
}

impl Session {
    pub(super) fn new(connections: Connections, actor: Actor, out: Out) -> Self {
        Self { connections, actor, out, telemetry: OnceLock::new() }
    }

    /// Who asks for a change, in a trace that begins with it and is kept: people ask for few. Its root is told when the
    /// stage is dropped; without a receiver its id is there for the service.
    pub(super) fn asked(&self, what: &'static str) -> (AskedBy, Stage) {
        self.telemetry.get_or_init(telemetry::of_command);
        let stage = Stage::begin(what, Kind::Internal, None);
        let traceparent = Some(stage.traceparent().unwrap_or_else(|| new_trace(true)));
        (AskedBy { traceparent, ..AskedBy::from(self.actor.clone()) }, stage)
    }

    /// The same of one of many changes: a trace of its own, too, that is kept where something of it fails.
    pub(super) fn asked_among_many(&self) -> AskedBy {
        AskedBy { traceparent: Some(new_trace(false)), ..AskedBy::from(self.actor.clone()) }
    }

    /// A message that is about to be published, in a trace that begins with it and is kept by the configured share: a file has
    /// thousands. Gives what it carries, and its root, which is told when the stage is dropped. Without a receiver nobody has
    /// that root, and the message does not say that its trace is kept.
    pub(super) fn publishes(&self, what: &'static str) -> (String, Stage) {
        self.telemetry.get_or_init(telemetry::of_publisher);
        let stage = Stage::begin(what, Kind::Producer, None);
        (stage.traceparent().unwrap_or_else(|| new_trace(false)), stage)
    }

    /// Sends what there is of traces.
    pub(super) async fn end(self) {
        if let Some(telemetry) = self.telemetry.into_inner().flatten() {
            // Sending blocks.
            let _ = tokio::task::spawn_blocking(move || telemetry.stop(TELLING)).await;
        }
    }

    /// Postgres with the schema that this build needs.
    pub(super) async fn postgres(&self) -> anyhow::Result<PgPool> {
        let pool = self.postgres_of_any_schema().await?;
        let pending = pending_migrations(&pool).await?;
        if !pending.is_empty() {
            let reason =
                format!("the schema lacks {}: run `distribution migrate`", counted(pending.len(), "migration"));
            return Err(Failure::Refused(reason).into());
        }
        Ok(pool)
    }

    /// Postgres as it is.
    pub(super) async fn postgres_of_any_schema(&self) -> anyhow::Result<PgPool> {
        self.connections.postgres_address()?;
        let unreachable = "cannot reach Postgres: check DATABASE_URL, or run `distribution doctor`";
        let unreachable = Failure::Unreachable(unreachable.to_owned());
        self.connections.postgres_within(LOGIN, POOL).await.context(unreachable)
    }

    /// NATS.
    pub(super) async fn nats(&self) -> anyhow::Result<Nats> {
        self.in_time(self.connections.nats_within(NATS_ANSWERS)).await
    }

    /// NATS with a JetStream that answers, for what is read and taken off streams.
    pub(super) async fn jetstream(&self) -> anyhow::Result<Nats> {
        let reached = async {
            let nats = self.connections.nats_within(NATS_ANSWERS).await?;
            // Where it is off or not allowed, the stream that is asked for next says so.
            let _ = nats.jetstream.query_account().await;
            anyhow::Ok(nats)
        };
        self.in_time(reached).await
    }

    /// Not only the connection: one that is made may be to a server that says no more.
    async fn in_time(&self, reached: impl Future<Output = anyhow::Result<Nats>>) -> anyhow::Result<Nats> {
        tokio::time::timeout(NATS_ANSWERS, reached).await.unwrap_or_else(|_| {
            let silent = anyhow::anyhow!("no answer within {} s", NATS_ANSWERS.as_secs());
            Err(silent.context(Failure::Unreachable(self.connections.no_nats())))
        })
    }

    /// Refuses to look for something of a target that never was.
    pub(super) async fn must_exist(&self, pool: &PgPool, target: Option<TargetId>) -> anyhow::Result<()> {
        if let Some(target) = target {
            known_target(self.syncing(pool).commands(), target).await?;
        }
        Ok(())
    }

    /// What commands on targets and listings go through.
    pub(super) fn syncing(&self, pool: &PgPool) -> Syncing {
        Syncing::over(Journal::new(pool.clone(), JournalOptions::default()))
    }
}

/// A target by the journal, a deleted one too.
pub(super) async fn known_target(commands: &Commands, id: TargetId) -> anyhow::Result<Target> {
    let whose = || format!("target {id}");
    let loaded = commands.load_target(id).await.with_context(whose)?;
    loaded.target().cloned().ok_or(TargetError::NotFound).map_err(anyhow::Error::new).with_context(whose)
}

/// One connection, or why there is none.
pub(super) async fn login(address: PgConnectOptions) -> anyhow::Result<PgConnection> {
    let options = address.application_name("distribution");
    match tokio::time::timeout(LOGIN, PgConnection::connect_with(&options)).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(anyhow::anyhow!("no answer within {} s", LOGIN.as_secs())),
    }
}
