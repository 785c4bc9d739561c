//! Leases: who works on a listing. A lease that runs out is anybody's; a try that is done is nobody's until the queue shows it.

use std::collections::HashSet;
use std::time::Duration;

use domain::ids::{ListingId, TargetId};
use domain::listing::Silent;
use uuid::Uuid;

use super::DispatchStore;

/// A listing that this dispatcher works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The listing.
    pub listing_id: ListingId,
    /// Its target.
    pub target_id: TargetId,
    /// The job that the queue showed.
    pub ordinal: i64,
    /// Its tries that the queue showed.
    pub tries: i32,
    /// Who had it before let it run out: nobody knows what was sent.
    pub takes_over: bool,
    /// What is known of that attempt.
    pub silent: Option<Silent>,
}

/// A try that has ended and whose outcome is in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishedTry {
    /// What was leased.
    pub lease: Lease,
    /// The job that was worked on, which may be newer than the one that the queue showed.
    pub ordinal: i64,
    /// Its next attempt, where there is one, is due after so long.
    pub rests: Duration,
}

impl DispatchStore {
    /// Says on a lease of ours which job is worked on, where that is a newer one than the queue showed: whoever looks is told so.
    pub async fn name_job(&self, listing: ListingId, ordinal: i64) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE dispatch_leases SET ordinal = $2 WHERE listing_id = $1 AND holder = $3 AND NOT done")
            .bind(listing.0)
            .bind(ordinal)
            .bind(self.holder)
            .execute(&self.pool)
            .await
            .map(|_| ())
    }

    /// Keeps leases for longer. Gives those that are still ours: one that ran out may be another's by now.
    pub async fn extend_leases(
        &self,
        listings: &[ListingId],
        length: Duration,
    ) -> Result<HashSet<ListingId>, sqlx::Error> {
        let kept: Vec<Uuid> = sqlx::query_scalar(
            "UPDATE dispatch_leases d SET lease_until = clock_timestamp() + make_interval(secs => $3)
             FROM (SELECT listing_id FROM dispatch_leases WHERE listing_id = ANY($1) AND holder = $2 AND NOT done
                   ORDER BY listing_id FOR UPDATE) mine
             WHERE d.listing_id = mine.listing_id RETURNING d.listing_id",
        )
        .bind(listings.iter().map(|listing| listing.0).collect::<Vec<_>>())
        .bind(self.holder)
        .bind(length.as_secs_f64())
        .fetch_all(&self.pool)
        .await?;
        Ok(kept.into_iter().map(ListingId).collect())
    }
}
