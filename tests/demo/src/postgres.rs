//! The demo's own database, and the figures that are read from its journal and read models.

use std::collections::HashMap;

use anyhow::Context as _;
use demo::villas::{ORG, own, unit_id};
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::stage::Stage;

/// Makes the database where it is missing. Whether it was.
pub async fn create(stage: &Stage) -> anyhow::Result<bool> {
    let mut server = maintenance(stage).await?;
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&stage.database)
        .fetch_one(&mut server)
        .await?;
    if !there {
        server.execute(format!(r#"CREATE DATABASE "{}""#, stage.database).as_str()).await?;
    }
    Ok(!there)
}

/// Drops it with everything in it, whoever is connected.
pub async fn remove(stage: &Stage) -> anyhow::Result<()> {
    let mut server = maintenance(stage).await?;
    server.execute(format!(r#"DROP DATABASE IF EXISTS "{}" WITH (FORCE)"#, stage.database).as_str()).await?;
    Ok(())
}

async fn maintenance(stage: &Stage) -> anyhow::Result<PgConnection> {
    PgConnection::connect(stage.maintenance_url.as_str()).await.context("cannot reach Postgres at DATABASE_URL")
}

/// A pool on our database.
pub async fn connect(stage: &Stage) -> anyhow::Result<PgPool> {
    let options = PgPoolOptions::new().max_connections(4);
    options
        .connect(stage.database_url.as_str())
        .await
        .with_context(|| format!("cannot open database {}", stage.database))
}

/// How much is still to be done.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Backlog {
    /// Jobs that wait or run.
    pub queued: i64,
    /// Jobs without an end in the audit.
    pub pending: i64,
    /// Events that a projection has not applied.
    pub behind: i64,
    /// Messages that the intake has dealt with.
    pub taken: i64,
}

const BACKLOG: &str = "
SELECT (SELECT count(*) FROM sync_queue) AS queued,
    (SELECT count(*) FROM outbound_audit WHERE outcome = 'pending') AS pending,
    (SELECT count(*) FROM events
        WHERE position > (SELECT COALESCE(min(position), 0) FROM projection_checkpoints)) AS behind,
    (SELECT COALESCE(sum(count), 0)::bigint FROM intake_tally) AS taken";

/// What is to be done now.
pub async fn backlog(pool: &PgPool) -> anyhow::Result<Backlog> {
    Ok(sqlx::query_as(BACKLOG).fetch_one(pool).await?)
}

const SYNCED: &str = "
SELECT target_id, count(*) FROM channel_listings
WHERE last_accepted_at IS NOT NULL AND org_id = $1 AND unit_id = ANY ($2) GROUP BY target_id";

/// Listings of the demo's own villas that have been synced at least once, by target.
pub async fn synced(pool: &PgPool, villas: usize) -> anyhow::Result<HashMap<Uuid, i64>> {
    let units: Vec<String> = (0..villas).map(unit_id).collect();
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(SYNCED).bind(ORG).bind(units).fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}

/// A row of the listings.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Listing {
    /// The listing.
    pub listing_id: Uuid,
    /// Its unit.
    pub unit_id: String,
    /// Its target.
    pub target_id: Uuid,
    /// Its id at the channel.
    pub external_id: Option<String>,
    /// The position of its last event.
    pub position: i64,
}

/// Every listing.
pub async fn listings(pool: &PgPool) -> anyhow::Result<Vec<Listing>> {
    let sql = "SELECT listing_id, unit_id, target_id, external_id, position FROM channel_listings ORDER BY unit_id";
    Ok(sqlx::query_as(sql).fetch_all(pool).await?)
}

/// The newest bodies of the demo's own villas.
pub async fn villas(pool: &PgPool, villas: usize) -> anyhow::Result<Vec<Value>> {
    let sql = "SELECT body FROM units JOIN unit_snapshots USING (hash)";
    Ok(own(sqlx::query_scalar(sql).fetch_all(pool).await?, villas))
}

/// The revision that the service has of every unit of the demo's organisation.
pub async fn revisions(pool: &PgPool) -> anyhow::Result<HashMap<String, i64>> {
    let sql = "SELECT unit_id, revision FROM units WHERE org_id = $1";
    let rows: Vec<(String, i64)> = sqlx::query_as(sql).bind(ORG).fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}

/// Whether the projection of targets has seen a target in this state.
pub async fn target_is(pool: &PgPool, target: Uuid, lifecycle: &str) -> anyhow::Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM channel_targets WHERE target_id = $1 AND lifecycle = $2)";
    Ok(sqlx::query_scalar(sql).bind(target).bind(lifecycle).fetch_one(pool).await?)
}

/// The journal and the audit in numbers.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Counts {
    /// Sync jobs that the journal has.
    pub jobs: i64,
    /// Rows of the audit.
    pub audit_rows: i64,
    /// Jobs that ended because nothing differed.
    pub skipped_unchanged: i64,
    /// Jobs whose place a later one took.
    pub coalesced: i64,
    /// Jobs that ended otherwise than well.
    pub failed: i64,
}

const COUNTS: &str = "
SELECT (SELECT count(DISTINCT payload #>> ARRAY[event_type, 'request', 'sync_id']) FROM events
        WHERE event_type IN ('SyncRequested', 'SyncSkipped')) AS jobs,
    count(*) AS audit_rows,
    count(*) FILTER (WHERE outcome = 'skipped_unchanged') AS skipped_unchanged,
    count(*) FILTER (WHERE outcome = 'superseded') AS coalesced,
    count(*) FILTER (WHERE outcome NOT IN ('accepted', 'skipped_unchanged', 'superseded')) AS failed
FROM outbound_audit";

/// The numbers now.
pub async fn counts(pool: &PgPool) -> anyhow::Result<Counts> {
    Ok(sqlx::query_as(COUNTS).fetch_one(pool).await?)
}

/// What the intake has said about messages, by outcome.
pub async fn tally(pool: &PgPool) -> anyhow::Result<HashMap<String, i64>> {
    let sql = "SELECT outcome, sum(count)::bigint FROM intake_tally GROUP BY outcome";
    let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}
