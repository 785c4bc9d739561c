//! `listing sync` and `listing replay`: sending once more, whatever the channel has.

use anyhow::Context;
use clap::{ArgGroup, Args};
use domain::hash::SnapshotHash;
use domain::ids::{ListingId, SyncId};
use domain::listing::ListingError;
use domain::recorded::Position;
use serde_json::json;
use sqlx::PgPool;

use crate::cli::arguments;
use crate::cli::failure::Failure;
use crate::cli::session::Session;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  distribution listing sync 3f2c… --reason 'the channel was edited by hand'")]
pub(in crate::cli) struct SyncArgs {
    /// The listing
    #[arg(value_name = "LISTING")]
    listing_id: ListingId,
    /// Why; it stands in the journal and in the audit
    #[arg(long, value_parser = arguments::reason)]
    reason: String,
}

#[derive(Debug, Args)]
#[command(after_help = "The snapshot must show the listing's own unit. `listing history` and `audit tail` show \
    positions and syncs.\n\n\
    Example, back to what was sent before a bad change:\n  \
    distribution listing replay 3f2c… --position 4711 --reason 'wrong prices since 10:00'")]
#[command(group = ArgGroup::new("which").required(true).args(["snapshot", "sync_id", "position"]))]
pub(in crate::cli) struct ReplayArgs {
    /// The listing
    #[arg(value_name = "LISTING")]
    listing_id: ListingId,
    /// The snapshot with this SHA-256
    #[arg(long, value_name = "HASH")]
    snapshot: Option<SnapshotHash>,
    /// The snapshot of this sync of the listing
    #[arg(long, value_name = "SYNC")]
    sync_id: Option<SyncId>,
    /// The snapshot that was the newest one at this position of the journal, within the listing's history
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    position: Option<i64>,
    /// Why; it stands in the journal and in the audit
    #[arg(long, value_parser = arguments::reason)]
    reason: String,
}

const REQUESTS: &str = "
SELECT payload #>> ARRAY[event_type, 'request', 'snapshot'] FROM events
WHERE aggregate_type = 'ChannelListing' AND aggregate_id = $1 AND event_type IN ('SyncRequested', 'SyncSkipped')
    AND ($2::text IS NULL OR payload #>> ARRAY[event_type, 'request', 'sync_id'] = $2)
    AND ($3::bigint IS NULL OR position <= $3)
ORDER BY sequence DESC LIMIT 1";

/// From the first snapshot that was asked for to the listing's last event.
const SPAN: &str = "
SELECT min(position) FILTER (WHERE event_type IN ('SyncRequested', 'SyncSkipped')), max(position) FROM events
WHERE aggregate_type = 'ChannelListing' AND aggregate_id = $1";

const MADE: &str = "
SELECT payload #>> ARRAY[event_type, 'request', 'sync_id'], payload #>> ARRAY[event_type, 'request', 'snapshot']
FROM events WHERE position = $1";

impl SyncArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        resend(session, &pool, self.listing_id, None, self.reason).await
    }
}

impl ReplayArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let snapshot = match self.snapshot {
            Some(snapshot) => snapshot,
            None => self.find(&pool).await?,
        };
        resend(session, &pool, self.listing_id, Some(snapshot), self.reason).await
    }

    /// The journal knows every snapshot that was ever asked for, skipped ones too.
    async fn find(&self, pool: &PgPool) -> anyhow::Result<SnapshotHash> {
        let id = self.listing_id;
        if let Some(position) = self.position {
            self.check_position(pool, position).await?;
        }
        let sync_id = self.sync_id.map(|id| id.to_string());
        let query = sqlx::query_scalar(REQUESTS).bind(id.to_string()).bind(sync_id).bind(self.position);
        let found: Option<String> = query.fetch_optional(pool).await?;
        let missing = self.sync_id.map(|sync| format!("listing {id} has no sync {sync}"));
        let missing = missing.unwrap_or_else(|| format!("listing {id} has asked for no snapshot yet"));
        Ok(found.ok_or(Failure::Refused(missing))?.parse()?)
    }

    /// A position after the listing's last event would quietly mean the newest snapshot, which is what `sync` is for.
    async fn check_position(&self, pool: &PgPool, position: i64) -> anyhow::Result<()> {
        let id = self.listing_id;
        let span: (Option<i64>, Option<i64>) = sqlx::query_as(SPAN).bind(id.to_string()).fetch_one(pool).await?;
        let refused = match span {
            (_, None) => return Err(anyhow::Error::new(ListingError::NotFound).context(format!("listing {id}"))),
            (None, _) => format!("listing {id} has asked for no snapshot yet"),
            (Some(first), Some(last)) if !(first..=last).contains(&position) => format!(
                "position {position} is outside the history of listing {id}: use {first} to {last} (`distribution \
                 listing history {id}` shows them), or `distribution listing sync {id} --reason REASON` for the newest state"
            ),
            _ => return Ok(()),
        };
        Err(Failure::Refused(refused).into())
    }
}

async fn resend(
    session: &Session,
    pool: &PgPool,
    listing_id: ListingId,
    snapshot: Option<SnapshotHash>,
    reason: String,
) -> anyhow::Result<()> {
    let asked = session.syncing(pool).resend(listing_id, snapshot, reason, session.actor.clone()).await;
    let position = asked.with_context(|| format!("listing {listing_id}"))?.unwrap_or(Position(0));
    let made: Option<(Option<String>, Option<String>)> =
        sqlx::query_as(MADE).bind(position.0).fetch_optional(pool).await?;
    let (sync_id, snapshot) = made.unwrap_or_default();
    if session.out.is_json() {
        let (sync, at) = (&sync_id, position);
        return session
            .out
            .json(&json!({ "listing_id": listing_id, "sync_id": sync, "snapshot": snapshot, "position": at }));
    }
    let sync_id = sync_id.unwrap_or_default();
    session.out.line(&format!("sync {sync_id} of listing {listing_id} is asked for; distribution audit show {sync_id}"))
}
