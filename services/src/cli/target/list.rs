//! `target list`, from the read model.

use chrono::{DateTime, Utc};
use clap::Args;
use domain::ids::OrgId;
use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::cli::output::{Cell, optional, state, text};
use crate::cli::session::Session;

#[derive(Debug, Args)]
#[command(after_help = "Example, the ids of all targets that need new credentials:\n  \
    distribution target list --output json | jq -r '.[] | select(.health == \"unauthorised\") | .target_id'")]
pub(in crate::cli) struct ListArgs {
    /// Of one organisation only
    #[arg(long)]
    org: Option<OrgId>,
    /// Deleted ones too
    #[arg(long)]
    deleted: bool,
}

#[derive(Debug, FromRow, Serialize)]
struct Row {
    target_id: Uuid,
    org_id: String,
    account_id: String,
    name: String,
    channel: String,
    base_url: String,
    channel_account: String,
    credential: String,
    requests: i32,
    window_ms: i32,
    account_requests: Option<i32>,
    account_window_ms: Option<i32>,
    lifecycle: String,
    lifecycle_reason: Option<String>,
    health: String,
    health_since: DateTime<Utc>,
    listings: i64,
    waiting: i64,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

const LIST: &str = "
SELECT t.*,
    (SELECT count(*) FROM channel_listings AS l WHERE l.target_id = t.target_id AND l.org_id = t.org_id
        AND l.state <> 'unlinked') AS listings,
    (SELECT count(*) FROM sync_queue AS q WHERE q.target_id = t.target_id) AS waiting
FROM channel_targets AS t
WHERE ($1::text IS NULL OR t.org_id = $1) AND ($2 OR t.lifecycle <> 'deleted')
ORDER BY t.org_id, t.name, t.target_id";

const HEADER: [&str; 8] = ["target", "org", "name", "limit", "state", "health", "listings", "waiting"];

impl Row {
    fn cells(&self) -> Vec<Cell> {
        let seconds = f64::from(self.window_ms) / 1000.0;
        vec![
            text(self.target_id),
            text(&self.org_id),
            text(&self.name),
            text(format!("{}/{seconds}s", self.requests)),
            state(&self.lifecycle),
            state(&self.health),
            text(self.listings),
            optional((self.waiting > 0).then_some(self.waiting)),
        ]
    }
}

impl ListArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let org = self.org.as_ref().map(OrgId::as_str);
        let rows: Vec<Row> = sqlx::query_as(LIST).bind(org).bind(self.deleted).fetch_all(&pool).await?;
        if session.out.is_json() {
            return session.out.json(&rows);
        }
        session.out.table(&HEADER, rows.iter().map(Row::cells).collect(), "there are no targets")
    }
}
