//! `audit tail`: the newest changes of the audit, and on request what comes after.

use std::time::Duration;

use clap::Args;
use domain::ids::{AccountId, ListingId, OrgId, TargetId, TraceId};
use domain::outcome::SyncOutcome;
use sqlx::PgPool;

use crate::cli::output::Out;
use crate::cli::session::Session;
use crate::cli::times::moment;
use crate::views::audit::{COLUMNS, Sync};
use crate::views::lacking::parts;
use crate::views::not_taken::counts;

#[derive(Debug, Args)]
#[command(after_help = "A sync comes again whenever its state changes. With --output json each is one line.\n\n\
    Example, failures as they happen:\n  distribution audit tail --follow --output json | \
    jq -c 'select(.outcome == \"exhausted\" or .outcome == \"rejected\")'")]
pub(in crate::cli) struct TailArgs {
    /// Of one organisation only
    #[arg(long)]
    org: Option<OrgId>,
    /// Of one account only
    #[arg(long)]
    account: Option<AccountId>,
    /// Of one target only
    #[arg(long)]
    target: Option<TargetId>,
    /// Of one listing only
    #[arg(long)]
    listing: Option<ListingId>,
    /// Of one trace only, by its id
    #[arg(long, value_name = "TRACE_ID")]
    trace: Option<TraceId>,
    /// How many at first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i64).range(0..=100_000))]
    lines: i64,
    /// Go on until ctrl-c
    #[arg(long, short)]
    follow: bool,
}

/// How often the journal is asked for more.
const POLL: Duration = Duration::from_millis(500);

const CHECKPOINT: &str = "SELECT coalesce(max(position), 0) FROM projection_checkpoints WHERE name = 'outbound_audit'";

const FILTER: &str = "($1::text IS NULL OR a.org_id = $1) AND ($2::uuid IS NULL OR a.target_id = $2)
    AND ($3::uuid IS NULL OR a.listing_id = $3) AND ($7::text IS NULL OR a.account_id = $7)
    AND ($6::text IS NULL OR (a.traceparent ~>=~ ('00-' || $6 || '-') AND a.traceparent ~<~ ('00-' || $6 || '.')))";

/// The newest `$5` rows that stand at or before position `$4`.
fn newest() -> String {
    format!(
        "SELECT {COLUMNS} FROM (
            SELECT * FROM outbound_audit AS a WHERE {FILTER} AND a.updated_position <= $4
            ORDER BY a.updated_position DESC LIMIT $5
        ) AS a LEFT JOIN channel_targets AS t ON t.target_id = a.target_id ORDER BY a.updated_position"
    )
}

/// Rows that changed after position `$4` and up to `$5`. The audit has no index on what changes, so the journal says
/// which jobs were touched.
fn changed() -> String {
    format!(
        "WITH span AS MATERIALIZED (
            SELECT event_type, aggregate_type, aggregate_id, payload FROM events WHERE position > $4 AND position <= $5
        ), touched AS (
            SELECT (payload #>> ARRAY[event_type, part, 'sync_id'])::uuid AS sync_id
            FROM span CROSS JOIN (VALUES ('request'), ('attempt')) AS parts (part)
            UNION SELECT (payload #>> ARRAY[event_type, link])::uuid
            FROM span CROSS JOIN (VALUES ('supersedes'), ('cancels')) AS links (link)
            UNION SELECT a.sync_id FROM span JOIN outbound_audit AS a ON a.target_id = span.aggregate_id::uuid
            WHERE span.event_type = 'TargetDeleted' AND a.updated_position > $4
        )
        SELECT {COLUMNS} FROM touched JOIN outbound_audit AS a ON a.sync_id = touched.sync_id
        LEFT JOIN channel_targets AS t ON t.target_id = a.target_id
        WHERE {FILTER} AND a.updated_position > $4 AND a.updated_position <= $5 ORDER BY a.updated_position"
    )
}

impl TailArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let mut position = checkpoint(&pool).await?;
        let newest = newest();
        print(session.out, &self.fetch(&pool, &newest, position, self.lines).await?)?;
        if !self.follow {
            return Ok(());
        }
        let changed = changed();
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            tokio::select! {
                _ = &mut interrupted => return Ok(()),
                () = tokio::time::sleep(POLL) => {}
            }
            let now = checkpoint(&pool).await?;
            if now > position {
                print(session.out, &self.fetch(&pool, &changed, position, now).await?)?;
            }
            // It is less where the database was put back to an earlier state.
            position = now;
        }
    }

    async fn fetch(&self, pool: &PgPool, query: &str, fourth: i64, fifth: i64) -> Result<Vec<Sync>, sqlx::Error> {
        let query = sqlx::query_as(query).bind(self.org.as_ref().map(OrgId::as_str));
        let query = query.bind(self.target.map(|id| id.0)).bind(self.listing.map(|id| id.0));
        let query = query.bind(fourth).bind(fifth).bind(self.trace.as_ref().map(TraceId::as_str));
        let query = query.bind(self.account.as_ref().map(AccountId::as_str));
        query.fetch_all(pool).await
    }
}

async fn checkpoint(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(CHECKPOINT).fetch_one(pool).await
}

fn print(out: Out, syncs: &[Sync]) -> anyhow::Result<()> {
    for sync in syncs {
        if out.is_json() {
            out.json_line(sync)?;
        } else {
            out.line(&line(sync))?;
        }
    }
    Ok(())
}

/// One line, and a second one where there is something to explain.
fn line(sync: &Sync) -> String {
    let at = moment(sync.finished_at.or(sync.first_attempt_at).unwrap_or(sync.requested_at));
    let outcome = match (&sync.outcome[..], &sync.class) {
        ("pending", Some(class)) => format!("pending ({class})"),
        (outcome, _) => outcome.to_owned(),
    };
    let unit = sync.unit_id.as_deref().unwrap_or("-");
    let (id, burned, calls) = (sync.sync_id, sync.attempts, sync.calls);
    let mut line = format!("{at}  {id}  {outcome:<24}  {unit}  burned {burned}  calls {calls}");
    let rejected = parts(sync.rejected.clone());
    if !rejected.is_empty() {
        let is_refused = sync.outcome == SyncOutcome::Rejected.as_str();
        line.push_str(&format!("\n    {}", counts(&rejected, is_refused, ("", ""))));
    }
    if let Some(detail) = &sync.detail {
        line.push_str(&format!("\n    {detail}"));
    }
    line
}
