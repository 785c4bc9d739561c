//! Applies events to the projections, live or from the journal: one code path.
//!
//! Invariant: an event is applied once, in order of position, and its checkpoint moves in the same transaction. A hole
//! before a live batch is filled from the journal first. What the journal does not have where that transaction is, wherever
//! it was read, is not applied.

use std::sync::Arc;

use domain::journal::EventLog;
use domain::recorded::{Position, Recorded};
use sqlx::PgPool;

use crate::checkpoint::{self, Advance};
use crate::error::Error;
use crate::projection::{Ended, Projection};

/// How many events are read from the journal at a time.
pub(crate) const BATCH: usize = 1000;

/// Is told of sync jobs that ended, once every read model shows it.
pub type Observer = Arc<dyn Fn(&[Ended]) + Send + Sync>;

/// Drives projections. Any number may run at once: the checkpoints' locks make them take turns.
#[derive(Clone)]
pub struct Runner {
    pub(crate) pool: PgPool,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) projections: Vec<Arc<dyn Projection>>,
    observer: Option<Observer>,
}

impl Runner {
    /// A runner of these projections, usually [`all`](crate::all).
    pub fn new(pool: PgPool, log: Arc<dyn EventLog>, projections: Vec<Arc<dyn Projection>>) -> Self {
        Self { pool, log, projections, observer: None }
    }

    /// Tells `observer` of the jobs that ended by events which no read model had before, live or caught up, once each in this
    /// process. Those of a commit whose end stayed unknown are left out.
    #[must_use]
    pub fn observed_by(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Applies a live batch: events in order of position, of which the first follows the event at `previous` (0 where
    /// there is none). Events that were applied before are left out; what is missing before them is read from the
    /// journal. Where it does not have them, what it has is applied instead: applied, they would stand in the read models for
    /// ever, and what has their positions now would count as known. Gives the position that is reached.
    pub async fn apply_batch(&self, batch: &[Recorded], previous: Position) -> Result<Position, Error> {
        let applied = match self.apply(batch, previous).await {
            Err(hole @ (Error::Gap { .. } | Error::Hole { .. })) => {
                tracing::info!(%hole, "filling a hole from the journal");
                self.catch_up().await?;
                self.apply(batch, previous).await
            }
            applied => applied,
        };
        if let Err(Error::Lost { position }) = applied {
            tracing::warn!(position, "there came events that the journal lost: it was put back to an earlier state");
            return self.catch_up().await;
        }
        applied.map(|()| batch.last().map_or(previous, |last| last.position))
    }

    /// Applies what the journal has beyond the checkpoints, and says up to where.
    pub async fn catch_up(&self) -> Result<Position, Error> {
        let mut after = Position(checkpoint::lowest(&self.pool, &self.names()).await?);
        let up_to = self.log.settled().await?;
        let mut batch = self.log.read(None, after, up_to, BATCH).await?;
        while let Some(last) = batch.last().map(|event| event.position) {
            let next = async { Ok(self.log.read(None, last, up_to, BATCH).await?) };
            // Both to their ends: an application that is dropped on the way would leave its transaction to the pool.
            let (applied, following): (_, Result<_, Error>) = futures::join!(self.apply(&batch, after), next);
            applied?;
            batch = following?;
            after = last;
        }
        Ok(after)
    }

    async fn apply(&self, batch: &[Recorded], previous: Position) -> Result<(), Error> {
        let Some(last) = batch.last() else { return Ok(()) };
        let mut transaction = checkpoint::begin(&self.pool).await?;
        // Of what was lost all is gone that came after it: where the last one is there, so are the others.
        let checkpoints = checkpoint::lock(&mut transaction, &self.names(), Some(last)).await?;
        let reached = checkpoints.iter().copied().max().unwrap_or_default();
        let (mut advances, mut ended) = (Vec::new(), Vec::new());
        for (projection, checkpoint) in self.projections.iter().zip(checkpoints) {
            if checkpoint < previous.0 {
                return Err(Error::Gap { projection: projection.name(), checkpoint, previous: previous.0 });
            }
            let new = &batch[batch.partition_point(|event| event.position.0 <= checkpoint)..];
            let Some(last) = new.last() else { continue };
            ended.extend(projection.apply(&mut transaction, new).await?);
            let events = i64::try_from(new.len()).unwrap_or(i64::MAX);
            advances.push(Advance { name: projection.name(), position: last.position.0, events });
        }
        checkpoint::store(&mut transaction, &advances).await?;
        transaction.commit().await?;
        if let Some(observer) = &self.observer {
            ended.retain(|end| end.position.0 > reached);
            observer(&ended);
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.projections.iter().map(|projection| projection.name()).collect()
    }
}
