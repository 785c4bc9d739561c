//! What is next for a sync that has not ended, for whoever shows one without explaining it: the same as an explanation says.

use std::ops::DerefMut;

use domain::ids::{ListingId, TargetId};
use sqlx::{PgConnection, PgPool};

use super::audit::Sync;
use super::explain::next::{Next, of_pending};
use super::explain::{Unexplained, now};
use super::holds;
use super::read_model_lag;
use crate::syncing::{SyncError, Syncing};

/// What is next for it; `None` once it has ended, as the journal or the audit knows. Whoever asks has to see the sync. What holds it is read
/// by `reader`, which is opened for it.
pub async fn next_attempt<C: DerefMut<Target = PgConnection>>(
    syncing: &Syncing,
    pool: &PgPool,
    reader: impl Future<Output = Result<C, sqlx::Error>>,
    sync: &Sync,
) -> Result<Option<Next>, Unexplained> {
    if sync.finished_at.is_some() {
        return Ok(None);
    }
    let (id, target_id) = (ListingId(sync.listing_id), TargetId(sync.target_id));
    let commands = syncing.commands();
    let listing = commands.load_listing(id).await.map_err(SyncError::from)?;
    let target = commands.load_target(target_id).await?;
    let pending = listing.pending().filter(|pending| pending.sync_id.0 == sync.sync_id);
    let (Some(pending), Ok(target)) = (pending, target.live()) else { return Ok(None) };
    let mut reader = reader.await?;
    let row = now::now(&mut reader, id, target).await?;
    let holds = holds::of(&mut reader, id, target_id).await?;
    drop(reader);
    let row = match row {
        Some(row) => Some(row.completed(pool, target_id).await?),
        None => None,
    };
    let is_shown = row.as_ref().is_some_and(|row| row.sync_id == sync.sync_id);
    let lag_since = if is_shown { None } else { read_model_lag::since(pool).await? };
    let held = holds.words_beside(row.as_ref().and_then(|row| row.circuit.as_ref()));
    Ok(Some(of_pending(&listing, pending, held, row.as_ref(), |_| None, lag_since)))
}
