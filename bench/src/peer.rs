//! The other side: BullMQ on Redis, one job per change, an HTTP call and an audit row.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::cost::Part;
use crate::node;
use crate::process::Process;
use crate::redis::Redis;
use crate::units;
use crate::world::{SHARED_ACCOUNT, World};

/// The audit of the peer, in the same database as ours. As plain as it can be: one key, no other index.
const AUDIT: &str = "CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job_id text NOT NULL,
    listing_id bigint NOT NULL, account_id text NOT NULL, idempotency_key text NOT NULL, outcome text NOT NULL,
    status integer, started_at timestamptz NOT NULL, finished_at timestamptz NOT NULL)";

/// A queue, with the limit that holds in it.
pub const QUEUE: &str = "sync";

/// Redis and what the peer's programs are told.
pub struct Peer {
    redis: Redis,
    database: String,
    channel: String,
    pool: PgPool,
    folder: PathBuf,
}

impl Peer {
    /// Starts Redis and makes the audit table.
    pub async fn start(world: &World) -> anyhow::Result<Self> {
        let redis = Redis::start(world.folder.path()).await?;
        sqlx::raw_sql(AUDIT).execute(&world.pool).await?;
        Ok(Self {
            redis,
            database: world.database_url()?,
            channel: world.channel.url.clone(),
            pool: world.pool.clone(),
            folder: world.folder.path().to_owned(),
        })
    }

    /// Starts a worker on these queues.
    pub async fn worker(&self, queues: &[String], concurrency: usize, limit: Option<Value>) -> anyhow::Result<Process> {
        let settings = json!({
            "redis": self.redis.socket, "database": self.database, "channel": self.channel,
            "queues": queues, "concurrency": concurrency, "limit": limit,
        });
        node::worker(&settings, &self.folder.join("worker.log")).await
    }

    /// What a job of the peer is paid by.
    pub async fn parts(&self, world: &World, worker: &Process) -> anyhow::Result<Vec<Part>> {
        let node = Part { name: "node", pid: worker.id() };
        Ok(vec![node, world.postgres_part().await?, Part { name: "redis", pid: self.redis.process.id() }])
    }

    /// Adds jobs as fast as it goes.
    pub async fn add(&self, jobs: &[Value]) -> anyhow::Result<()> {
        node::produce(&json!({"redis": self.redis.socket, "bulk": true}), jobs).await.map(drop)
    }

    /// Adds each job at its time. Gives when each listing's was added, in microseconds.
    pub async fn add_paced(&self, jobs: &[Value]) -> anyhow::Result<HashMap<u64, u64>> {
        let printed = node::produce(&json!({"redis": self.redis.socket, "bulk": false}), jobs).await?;
        let line = |line: &str| -> anyhow::Result<(u64, u64)> {
            let added: Value = serde_json::from_str(line)?;
            let number = |name: &str| added[name].as_u64().unwrap_or_default();
            Ok((number("listing"), number("at_us")))
        };
        printed.lines().map(line).collect()
    }

    /// How many audit rows there are.
    pub async fn audited(&self) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM audit").fetch_one(&self.pool).await?)
    }

    /// Takes the audit rows away: each run begins with none, which a table of ours never does.
    pub async fn forget(&self) -> anyhow::Result<()> {
        sqlx::raw_sql("TRUNCATE audit").execute(&self.pool).await?;
        Ok(())
    }
}

/// A job: the same 1.5 KB that our change brings.
pub fn job(queue: &str, account: u32, index: usize, revision: u64, after_ms: u64) -> Value {
    let body = json!({"description": units::description(index, revision)});
    json!({"queue": queue, "after_ms": after_ms, "data": {"listing": index, "account": account, "body": body}})
}

/// Jobs of these units on the one queue.
pub fn jobs(indices: &[usize], revision: u64) -> Vec<Value> {
    indices.iter().map(|index| job(QUEUE, SHARED_ACCOUNT, *index, revision, 0)).collect()
}
