//! Applies the journal to the tables of a rebuild: on two connections at a time where a read model has its rows by listing, as one
//! connection, that is one core of Postgres, is what a rebuild waits for.

use std::sync::Arc;

use domain::journal::JournalUnreadable;
use domain::recorded::{ChannelEvent, Position, Recorded};
use futures::FutureExt as _;
use sqlx::{Connection, PgConnection};
use tokio_util::task::AbortOnDropHandle;

use super::Rebuilt;
use super::mirror::Mirror;
use crate::checkpoint;
use crate::error::Error;
use crate::projection::Projection;
use crate::runner::{BATCH, Runner};

/// The second connection of a rebuild, for half of the listings. Absent after a failure that took it along.
pub(super) struct Second(Option<PgConnection>);

impl Second {
    /// One that writes to the copies of `mirror`.
    pub(super) async fn open(runner: &Runner, mirror: &Mirror) -> Result<Self, Error> {
        let mut connection = runner.pool.acquire().await?.detach();
        checkpoint::tune(&mut connection).await?;
        mirror.enter(&mut connection).await?;
        Ok(Self(Some(connection)))
    }

    /// Ends it, and with it whatever it holds.
    pub(super) async fn close(self) -> Result<(), Error> {
        match self.0 {
            Some(connection) => Ok(connection.close().await?),
            None => Ok(()),
        }
    }

    /// Applies events by a task of its own, so that the two halves are folded at the same time, too.
    async fn commit(&mut self, projection: &Arc<dyn Projection>, batch: Vec<Recorded>) -> Result<(), Error> {
        let (projection, connection) = (projection.clone(), self.0.take());
        let mut connection = connection.ok_or(sqlx::Error::WorkerCrashed)?;
        let committing = tokio::spawn(async move {
            let committed = commit(&projection, &mut connection, &batch).await;
            (connection, committed)
        });
        let (connection, committed) = committing.await.map_err(|_| sqlx::Error::WorkerCrashed)?;
        self.0 = Some(connection);
        committed
    }
}

/// Applies the journal up to a live checkpoint, in batches that are transactions (or savepoints) of their own.
pub(super) async fn replay(
    runner: &Runner,
    projection: &Arc<dyn Projection>,
    connection: &mut PgConnection,
    mut second: Option<&mut Second>,
    done: &mut Rebuilt,
    live: i64,
) -> Result<(), Error> {
    let up_to = Position(live);
    let together = if second.is_some() { 2 * BATCH } else { BATCH };
    // By a task of its own: to read events is as much work as to fold them.
    let read = |after| {
        let (log, types) = (runner.log.clone(), projection.reads());
        let reading = tokio::spawn(async move { log.read(types, after, up_to, together).await });
        AbortOnDropHandle::new(reading).map(|read| read.map_err(|panic| JournalUnreadable(Box::new(panic)))?)
    };
    let mut batch = read(done.position).await?;
    while let Some(last) = batch.last().map(|event| event.position) {
        let events = batch.len() as u64;
        let following = read(last);
        apply(projection, connection, second.as_deref_mut(), batch).await?;
        (done.position, done.events) = (last, done.events + events);
        batch = following.await?;
    }
    // What lies between is none of its events.
    done.position = done.position.max(up_to);
    Ok(())
}

/// Applies a batch, each half of its listings on a connection of its own. An event of a target may change rows of any listing: what comes
/// before it is done by then, and what comes after it waits.
async fn apply(
    projection: &Arc<dyn Projection>,
    connection: &mut PgConnection,
    second: Option<&mut Second>,
    batch: Vec<Recorded>,
) -> Result<(), Error> {
    let Some(second) = second else { return commit(projection, connection, &batch).await };
    let mut events = batch.into_iter().peekable();
    while events.peek().is_some() {
        let of_targets: Vec<Recorded> = std::iter::from_fn(|| events.next_if(|event| !is_of_listing(event))).collect();
        commit(projection, connection, &of_targets).await?;
        let of_listings = std::iter::from_fn(|| events.next_if(is_of_listing));
        let (even, odd): (Vec<_>, Vec<_>) = of_listings.partition(|event| event.aggregate_id.as_u128() % 2 == 0);
        // Each to its end: what is dropped on the way would leave its transaction open.
        let (first, other) = futures::join!(commit(projection, connection, &even), second.commit(projection, odd));
        first.and(other)?;
    }
    Ok(())
}

fn is_of_listing(event: &Recorded) -> bool {
    matches!(event.event, ChannelEvent::Listing(_))
}

async fn commit(
    projection: &Arc<dyn Projection>,
    connection: &mut PgConnection,
    batch: &[Recorded],
) -> Result<(), Error> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    projection.apply(&mut transaction, batch).await?;
    Ok(transaction.commit().await?)
}
