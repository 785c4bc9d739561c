//! `unit list`, `unit show`, `unit stats`.

use adapters::units::{Tally, UnitStore};
use chrono::{DateTime, Utc};
use clap::Args;
use domain::ids::{OrgId, UnitId};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;

use crate::cli::failure::Failure;
use crate::cli::output::{Cell, text};
use crate::cli::session::Session;
use crate::cli::times::moment;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// The organisation
    #[arg(long)]
    org: OrgId,
}

#[derive(Debug, Args)]
#[command(after_help = "Example, the names in the newest revision:\n  \
    distribution unit show --org sunstay --unit villa-0042 --output json | jq .body.unit.name")]
pub(in crate::cli) struct ShowArgs {
    /// The organisation
    #[arg(long)]
    org: OrgId,
    /// The unit
    #[arg(long)]
    unit: UnitId,
    /// One revision; the newest by default
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    revision: Option<i64>,
}

#[derive(Debug, FromRow, Serialize)]
struct Unit {
    org_id: String,
    unit_id: String,
    account_id: String,
    revision: i64,
    snapshot: String,
    listings: i64,
    recorded_at: DateTime<Utc>,
}

#[derive(Debug, FromRow, Serialize)]
struct Snapshot {
    org_id: String,
    unit_id: String,
    account_id: String,
    revision: i64,
    snapshot: String,
    recorded_at: DateTime<Utc>,
    body: Value,
}

const LIST: &str = "
SELECT u.org_id, u.unit_id, u.account_id, u.revision, encode(u.hash, 'hex') AS snapshot, u.recorded_at,
    (SELECT count(*) FROM channel_listings AS l WHERE l.org_id = u.org_id AND l.unit_id = u.unit_id
        AND l.state <> 'unlinked' AND NOT EXISTS (SELECT 1 FROM channel_targets AS t
            WHERE t.target_id = l.target_id AND t.lifecycle = 'deleted')) AS listings
FROM units AS u WHERE u.org_id = $1 ORDER BY u.unit_id";

const SHOW: &str = "
SELECT s.org_id, s.unit_id, s.account_id, s.revision, encode(s.hash, 'hex') AS snapshot, s.recorded_at, s.body
FROM unit_snapshots AS s
WHERE s.org_id = $1 AND s.unit_id = $2 AND ($3::bigint IS NULL OR s.revision = $3)
ORDER BY s.revision DESC, s.recorded_at DESC LIMIT 1";

impl ListArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let units: Vec<Unit> = sqlx::query_as(LIST).bind(self.org.as_str()).fetch_all(&pool).await?;
        if session.out.is_json() {
            return session.out.json(&units);
        }
        let header = ["unit", "account", "revision", "listings", "taken"];
        let none = format!("organisation {} has published no units", self.org);
        session.out.table(&header, units.iter().map(Unit::cells).collect(), &none)
    }
}

impl Unit {
    fn cells(&self) -> Vec<Cell> {
        vec![
            text(&self.unit_id),
            text(&self.account_id),
            text(self.revision),
            text(self.listings),
            text(moment(self.recorded_at)),
        ]
    }
}

impl ShowArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let query = sqlx::query_as(SHOW).bind(self.org.as_str()).bind(self.unit.as_str()).bind(self.revision);
        let found: Option<Snapshot> = query.fetch_optional(&pool).await?;
        let which = self.revision.map(|revision| format!(" revision {revision}")).unwrap_or_default();
        let missing = || Failure::Refused(format!("unit {} of {}{which} was never published", self.unit, self.org));
        let shown = found.ok_or_else(missing)?;
        if session.out.is_json() {
            return session.out.json(&shown);
        }
        session.out.record(&[
            ("unit", shown.unit_id),
            ("org", shown.org_id),
            ("account", shown.account_id),
            ("revision", shown.revision.to_string()),
            ("snapshot", shown.snapshot),
            ("taken", moment(shown.recorded_at)),
        ])?;
        session.out.line("")?;
        session.out.json(&shown.body)
    }
}

pub(super) async fn stats(session: &Session) -> anyhow::Result<()> {
    let pool = session.postgres().await?;
    let tally = UnitStore::new(pool).tally().await?;
    if session.out.is_json() {
        return session.out.json(&tally);
    }
    let cells =
        |line: &Tally| vec![text(&line.org_id), text(&line.outcome), text(line.count), text(moment(line.last_at))];
    let rows = tally.iter().map(cells).collect();
    session.out.table(&["org", "outcome", "messages", "last"], rows, "no message was taken in yet")
}
