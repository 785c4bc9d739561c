//! Makes a read model again from the whole journal, beside the live one, and then swaps it in or compares the two.
//!
//! Invariant: a rebuilt read model equals the live one row for row. The live one goes on until the swap, which locks
//! its checkpoint, applies the last few events and exchanges the tables in one transaction. Where the schema was migrated
//! meanwhile nothing is exchanged.

mod compare;
mod mirror;
mod replay;

use std::sync::Arc;

use domain::recorded::Position;
use sqlx::{Connection, PgConnection};

pub use compare::TableDifference;

use crate::checkpoint;
use crate::error::Error;
use crate::projection::Projection;
use crate::runner::{BATCH, Runner};
use mirror::Mirror;
use replay::{Second, replay};

/// What a rebuild has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// Position of the last event in the new tables.
    pub position: Position,
    /// How many events were applied.
    pub events: u64,
}

/// A rebuild under way, on a connection of its own whose end frees the lock.
struct Site {
    projection: Arc<dyn Projection>,
    connection: PgConnection,
    /// Until the last few events, where the read model has its rows by listing.
    second: Option<Second>,
    mirror: Mirror,
    done: Rebuilt,
}

impl Runner {
    /// Rebuilds a projection and swaps the new tables in.
    pub async fn rebuild(&self, name: &str) -> Result<Rebuilt, Error> {
        let mut site = self.open(name).await?;
        let swapped = self.build_and_swap(&mut site).await;
        close(site, swapped).await
    }

    /// Rebuilds a projection beside the live one, counts the rows that differ, and drops what it built.
    pub async fn verify(&self, name: &str) -> Result<Vec<TableDifference>, Error> {
        let mut site = self.open(name).await?;
        let compared = self.build_and_compare(&mut site).await;
        close(site, compared).await
    }

    async fn open(&self, name: &str) -> Result<Site, Error> {
        let found = self.projections.iter().find(|projection| projection.name() == name);
        let projection = found
            .ok_or_else(|| Error::UnknownProjection { name: name.to_owned(), known: self.names().join(", ") })?
            .clone();
        let mut connection = self.pool.acquire().await?.detach();
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(format!("projections.rebuild/{name}"))
            .fetch_one(&mut connection)
            .await?;
        if !locked {
            return Err(Error::RebuildRunning(name.to_owned()));
        }
        checkpoint::tune(&mut connection).await?;
        let mirror = Mirror::of(projection.as_ref());
        Ok(Site { projection, connection, second: None, mirror, done: Rebuilt { position: Position(0), events: 0 } })
    }

    /// Makes the copies, and gives the statements that make the indexes which they lack.
    async fn begin(&self, site: &mut Site) -> Result<Vec<String>, Error> {
        let for_readers = site.mirror.create(&mut site.connection).await?;
        if site.projection.is_by_listing() {
            site.second = Some(Second::open(self, &site.mirror).await?);
        }
        Ok(for_readers)
    }

    /// Follows the live checkpoint, which moves on meanwhile, until the locked rest is short.
    async fn come_near(&self, site: &mut Site) -> Result<(), Error> {
        loop {
            let live = checkpoint::read(&mut site.connection, site.projection.name()).await?;
            let before = site.done.events;
            replay(self, &site.projection, &mut site.connection, site.second.as_mut(), &mut site.done, live).await?;
            if site.done.events - before < BATCH as u64 {
                return Ok(());
            }
        }
    }

    async fn build_and_swap(&self, site: &mut Site) -> Result<Rebuilt, Error> {
        let for_readers = self.begin(site).await?;
        self.come_near(site).await?;
        mirror::run(&mut site.connection, &for_readers).await?;
        self.come_near(site).await?;
        let mut transaction = site.connection.begin().await?;
        // A reader that holds a table for long must not hold up everything else behind this lock.
        sqlx::query("SET LOCAL lock_timeout = '30s'").execute(&mut *transaction).await?;
        let live = checkpoint::lock(&mut transaction, &[site.projection.name()], None).await?;
        let live = live.first().copied().unwrap_or(0);
        replay(self, &site.projection, &mut transaction, None, &mut site.done, live).await?;
        site.mirror.swap_in(&mut transaction).await?;
        transaction.commit().await?;
        site.mirror.analyze(&mut site.connection).await?;
        Ok(site.done)
    }

    async fn build_and_compare(&self, site: &mut Site) -> Result<Vec<TableDifference>, Error> {
        self.begin(site).await?;
        self.come_near(site).await?;
        let mut transaction = site.connection.begin().await?;
        // One snapshot of the live rows and their checkpoint: nobody has to wait for the comparison.
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *transaction).await?;
        let live = checkpoint::read(&mut transaction, site.projection.name()).await?;
        replay(self, &site.projection, &mut transaction, None, &mut site.done, live).await?;
        let differences = compare::compare(&mut transaction, &site.mirror).await?;
        transaction.commit().await?;
        Ok(differences)
    }
}

/// Drops what is left of the work; a failure of that does not hide how the work ended, and the next rebuild tries again.
async fn close<T>(mut site: Site, ended: Result<T, Error>) -> Result<T, Error> {
    // Before the copies go: it may hold locks on them.
    if let Some(second) = site.second.take()
        && let Err(error) = second.close().await
    {
        tracing::warn!(%error, "failed to close the second connection of a rebuild");
    }
    if let Err(error) = site.mirror.drop(&mut site.connection).await {
        tracing::warn!(%error, "failed to drop the tables of a rebuild");
    }
    // Closing frees the lock too, but only when the server has noticed.
    sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut site.connection).await?;
    site.connection.close().await?;
    ended
}
