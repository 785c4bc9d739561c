//! A state of the past, as the command line names it: by its snapshot, its sync, a position or a time.

use chrono::{DateTime, Utc};
use clap::Args;
use domain::hash::SnapshotHash;
use domain::ids::{ListingId, SyncId};
use domain::listing::ListingError;

use crate::cli::failure::Failure;
use crate::replay_point::{NoSnapshot, ReplayPoint};

#[derive(Debug, Clone, Args)]
#[group(id = "which", multiple = false)]
pub(super) struct Point {
    /// The snapshot with this SHA-256
    #[arg(long, value_name = "HASH")]
    snapshot: Option<SnapshotHash>,
    /// The snapshot of this sync of the listing
    #[arg(long, value_name = "SYNC")]
    sync_id: Option<SyncId>,
    /// The snapshot that was the newest one at this position of the journal, within the listing's history
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    position: Option<i64>,
    /// The snapshot that was the newest one at this time of the past, e.g. 2026-11-25T09:59:00Z
    #[arg(long, value_name = "TIME")]
    as_of: Option<DateTime<Utc>>,
}

impl Point {
    /// The snapshot that stands there; `None` where none is named.
    pub(super) async fn resolve(
        &self,
        pool: &sqlx::PgPool,
        listing: ListingId,
    ) -> anyhow::Result<Option<SnapshotHash>> {
        let points = [
            self.snapshot.map(ReplayPoint::Snapshot),
            self.sync_id.map(ReplayPoint::Sync),
            self.position.map(ReplayPoint::Position),
            self.as_of.map(ReplayPoint::AsOf),
        ];
        match points.into_iter().flatten().next() {
            None => Ok(None),
            Some(point) => {
                let found = point.snapshot(&mut *pool.acquire().await?, listing).await;
                found.map(Some).map_err(|error| refusal(error, listing))
            }
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
        late @ NoSnapshot::TooLate { .. } => Failure::Refused(format!("--as-of {late}")).into(),
        other => Failure::Refused(other.to_string()).into(),
    }
}
