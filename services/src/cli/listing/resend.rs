//! `listing sync` and `listing replay`: sending once more, whatever the channel has.

use anyhow::Context;
use clap::{ArgGroup, Args};
use domain::hash::SnapshotHash;
use domain::ids::ListingId;
use domain::recorded::Position;
use serde_json::json;
use sqlx::PgPool;

use super::point::Point;
use crate::cli::arguments;
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
#[command(group = ArgGroup::new("one").required(true).args(["snapshot", "sync_id", "position", "as_of"]))]
pub(in crate::cli) struct ReplayArgs {
    /// The listing
    #[arg(value_name = "LISTING")]
    listing_id: ListingId,
    #[command(flatten)]
    point: Point,
    /// Why; it stands in the journal and in the audit
    #[arg(long, value_parser = arguments::reason)]
    reason: String,
}

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
        let id = self.listing_id;
        let snapshot = self.point.resolve(&pool, id).await?;
        resend(session, &pool, id, snapshot, self.reason).await
    }
}

async fn resend(
    session: &Session,
    pool: &PgPool,
    listing_id: ListingId,
    snapshot: Option<SnapshotHash>,
    reason: String,
) -> anyhow::Result<()> {
    let (by, mut stage) = session.asked("ask for a sync");
    stage.set("distribution.listing.id", listing_id.to_string());
    let asked = session.syncing(pool).resend(listing_id, snapshot, reason, by).await;
    drop(stage);
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
