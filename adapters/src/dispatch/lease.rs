//! Leases: who works on a listing. A lease that runs out is anybody's; a try that is done is nobody's.

use std::time::Duration;

use domain::ids::{ListingId, TargetId};

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
}

/// A try that has ended and whose outcome is in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishedTry {
    /// What was leased.
    pub lease: Lease,
    /// The job that was worked on, which may be newer than the one that the queue showed.
    pub ordinal: i64,
}

impl DispatchStore {
    /// Keeps leases for longer.
    pub async fn extend_leases(&self, listings: &[ListingId], length: Duration) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE dispatch_leases SET lease_until = clock_timestamp() + make_interval(secs => $3)
             WHERE listing_id = ANY($1) AND holder = $2 AND NOT done",
        )
        .bind(listings.iter().map(|listing| listing.0).collect::<Vec<_>>())
        .bind(self.holder)
        .bind(length.as_secs_f64())
        .execute(&self.pool)
        .await
        .map(|_| ())
    }

    /// Ends leases whose outcome is written: the queue rows that they came from are not claimed again, newer ones are.
    pub async fn finish_leases(&self, finished: &[FinishedTry]) -> Result<(), sqlx::Error> {
        let tries = finished.iter().map(|f| if f.ordinal == f.lease.ordinal { f.lease.tries } else { 0 });
        sqlx::query(
            "WITH ended AS (
                 UPDATE dispatch_leases d
                 SET done = true, lease_until = '-infinity', ordinal = u.ordinal, tries = u.tries
                 FROM unnest($1::uuid[], $2::bigint[], $3::int[]) AS u (listing_id, ordinal, tries)
                 WHERE d.listing_id = u.listing_id AND d.holder = $4
             )
             UPDATE dispatch_lanes l SET wake_at = least(l.wake_at, clock_timestamp()) WHERE l.target_id = ANY($5)",
        )
        .bind(finished.iter().map(|f| f.lease.listing_id.0).collect::<Vec<_>>())
        .bind(finished.iter().map(|f| f.ordinal).collect::<Vec<_>>())
        .bind(tries.collect::<Vec<_>>())
        .bind(self.holder)
        .bind(finished.iter().map(|f| f.lease.target_id.0).collect::<Vec<_>>())
        .execute(&self.pool)
        .await
        .map(|_| ())
    }

    /// Gives leases back whose work was not done, so that another dispatcher can take it at once.
    pub async fn release_leases(&self, leases: &[Lease]) -> Result<(), sqlx::Error> {
        sqlx::query(
            "WITH released AS (DELETE FROM dispatch_leases WHERE listing_id = ANY($1) AND holder = $2 AND NOT done)
             UPDATE dispatch_lanes l SET wake_at = least(l.wake_at, clock_timestamp()) WHERE l.target_id = ANY($3)",
        )
        .bind(leases.iter().map(|lease| lease.listing_id.0).collect::<Vec<_>>())
        .bind(self.holder)
        .bind(leases.iter().map(|lease| lease.target_id.0).collect::<Vec<_>>())
        .execute(&self.pool)
        .await
        .map(|_| ())
    }
}
