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
use crate::replay_point::{NoSnapshot, ReplayPoint};

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
        let snapshot = self.point().snapshot(&pool, id).await.map_err(|error| refusal(error, id))?;
        resend(session, &pool, id, Some(snapshot), self.reason).await
    }

    /// The command line takes exactly one of them.
    fn point(&self) -> ReplayPoint {
        match (self.snapshot, self.sync_id) {
            (Some(snapshot), _) => ReplayPoint::Snapshot(snapshot),
            (None, Some(sync)) => ReplayPoint::Sync(sync),
            (None, None) => ReplayPoint::Position(self.position.unwrap_or_default()),
        }
    }
}

fn refusal(error: NoSnapshot, id: ListingId) -> anyhow::Error {
    match error {
        NoSnapshot::NoListing => anyhow::Error::new(ListingError::NotFound).context(format!("listing {id}")),
        NoSnapshot::Database(error) => error.into(),
        outside @ NoSnapshot::Outside { .. } => {
            let hint = format!(
                "{outside} (`distribution listing history {id}` shows them), or `distribution listing sync {id} \
                 --reason REASON` for the newest state"
            );
            Failure::Refused(hint).into()
        }
        other => Failure::Refused(other.to_string()).into(),
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
