//! pgbench with a prepared insert into a table that equals the journal's, indexes and all: of one row, and of many as the
//! most that the table takes.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::figures::float;
use crate::tools;
use crate::world::World;

/// The table and what a row of it has.
pub struct Table {
    database: String,
    folder: PathBuf,
    row: String,
}

impl Table {
    /// Makes both, for an event with this payload and this metadata.
    pub async fn make(world: &World, (payload, metadata): (Value, Value)) -> anyhow::Result<Self> {
        sqlx::raw_sql("CREATE TABLE single_events (LIKE events INCLUDING ALL)").execute(&world.pool).await?;
        // To pgbench a colon before a letter begins a variable.
        let quoted = |json: Value| json.to_string().replace("service:", "service\\u003a");
        let (payload, metadata) = (quoted(payload), quoted(metadata));
        let row = format!(
            "gen_random_uuid(), 'bench', 'villas', 'ChannelListing', gen_random_uuid()::text, 1, 'ListingPaused', '1.0', \
             '{payload}'::json, '{metadata}'::json"
        );
        Ok(Self { database: world.database_url()?, folder: world.path(""), row })
    }

    /// How many rows a second so many clients insert, one row a transaction.
    pub async fn inserts_per_s(&self, clients: usize, seconds: u64) -> anyhow::Result<f64> {
        self.rows_per_s(clients, 1, seconds).await
    }

    /// How many rows a second so many clients insert, so many rows a transaction. Nothing comes over the connection but the
    /// name of the statement and a number: no journal that writes these rows in as many statements can be faster.
    pub async fn rows_per_s(&self, clients: usize, rows: usize, seconds: u64) -> anyhow::Result<f64> {
        let script = self.folder.join(format!("insert-{rows}.sql"));
        let values = match rows {
            1 => format!("VALUES ({})", self.row),
            rows => format!("SELECT {} FROM generate_series(1, {rows})", self.row),
        };
        let insert = format!(
            "INSERT INTO single_events (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type, \
             event_version, payload, metadata) {values};\n"
        );
        std::fs::write(&script, insert)?;
        let mut command = tokio::process::Command::new(tools::variable("BENCH_PGBENCH")?);
        command.args(["--no-vacuum", "--protocol=prepared"]).arg(format!("--jobs={}", clients.min(2)));
        command.arg(format!("--client={clients}")).arg(format!("--time={seconds}"));
        command.arg("--file").arg(&script).arg(&self.database).kill_on_drop(true);
        let output = command.output().await.context("cannot start pgbench")?;
        ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        let rate: f64 = rate.with_context(|| format!("pgbench told no rate:\n{text}"))?;
        Ok(rate * float(rows))
    }
}
