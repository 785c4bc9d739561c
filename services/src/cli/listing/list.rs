//! `listing list`, from the read model.

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use domain::ids::{OrgId, TargetId, UnitId};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use crate::cli::output::{Cell, note, optional, state, text};
use crate::cli::session::Session;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    /// It follows its unit
    Active,
    /// It records changes and holds its syncs
    Paused,
    /// It was taken off
    Unlinked,
}

#[derive(Debug, Args)]
#[command(after_help = "Example, what a channel refused:\n  distribution listing list --output json | \
    jq '.[] | select(.rejected != []) | {unit_id, rejected}'")]
pub(in crate::cli) struct ListArgs {
    /// Of one organisation only
    #[arg(long)]
    org: Option<OrgId>,
    /// On one target only
    #[arg(long)]
    target: Option<TargetId>,
    /// Of one unit only
    #[arg(long)]
    unit: Option<UnitId>,
    /// In one state only; all but the unlinked ones by default
    #[arg(long, value_enum)]
    state: Option<State>,
    /// How many at most
    #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
}

#[derive(Debug, FromRow, Serialize)]
struct Row {
    listing_id: Uuid,
    org_id: String,
    account_id: String,
    unit_id: String,
    target_id: Uuid,
    target_name: Option<String>,
    state: String,
    generation: i32,
    external_id: Option<String>,
    revision: Option<i64>,
    snapshot: Option<String>,
    accepted_snapshot: Option<String>,
    pending_sync_id: Option<Uuid>,
    last_sync_id: Option<Uuid>,
    last_outcome: Option<String>,
    last_detail: Option<String>,
    rejected: Value,
    linked_by: String,
    linked_at: DateTime<Utc>,
    last_accepted_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
}

const LIST: &str = "
SELECT l.listing_id, l.org_id, l.account_id, l.unit_id, l.target_id, t.name AS target_name, l.state, l.generation,
    l.external_id, l.revision, encode(l.snapshot, 'hex') AS snapshot,
    encode(l.accepted_snapshot, 'hex') AS accepted_snapshot, l.pending_sync_id, l.last_sync_id, l.last_outcome,
    l.last_detail, l.rejected, l.linked_by, l.linked_at, l.last_accepted_at, l.updated_at
FROM channel_listings AS l LEFT JOIN channel_targets AS t ON t.target_id = l.target_id
WHERE ($1::text IS NULL OR l.org_id = $1) AND ($2::uuid IS NULL OR l.target_id = $2)
    AND ($3::text IS NULL OR l.unit_id = $3) AND CASE WHEN $4::text IS NULL THEN l.state <> 'unlinked'
    ELSE l.state = $4 END
ORDER BY l.org_id, l.unit_id, t.name, l.listing_id LIMIT $5";

const HEADER: [&str; 8] = ["listing", "unit", "target", "state", "rev", "pending", "last", "at channel"];

impl Row {
    fn cells(&self) -> Vec<Cell> {
        vec![
            text(self.listing_id),
            text(&self.unit_id),
            optional(self.target_name.as_ref()),
            state(&self.state),
            optional(self.revision),
            text(if self.pending_sync_id.is_some() { "yes" } else { "-" }),
            self.last_outcome.as_deref().map_or_else(|| text("-"), state),
            optional(self.external_id.as_ref()),
        ]
    }
}

impl ListArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let state = self.state.map(|state| match state {
            State::Active => "active",
            State::Paused => "paused",
            State::Unlinked => "unlinked",
        });
        let query = sqlx::query_as(LIST).bind(self.org.as_ref().map(OrgId::as_str)).bind(self.target.map(|id| id.0));
        let query = query.bind(self.unit.as_ref().map(UnitId::as_str)).bind(state).bind(self.limit);
        let rows: Vec<Row> = query.fetch_all(&pool).await?;
        if i64::try_from(rows.len()) == Ok(self.limit) {
            note(&format!("the first {} are shown; --limit gives more", self.limit));
        }
        if session.out.is_json() {
            return session.out.json(&rows);
        }
        session.out.table(&HEADER, rows.iter().map(Row::cells).collect(), "there are no such listings")
    }
}
