//! The calls of looks for drift: no sync's and no check's, so that nothing else tells of them, but they took slots of the windows, and
//! somebody asked for each look.

use std::time::Duration;

use domain::call::CallRecord;
use domain::ids::ListingId;
use domain::metadata::Actor;
use domain::target::Target;
use uuid::Uuid;

use super::DispatchStore;

impl DispatchStore {
    /// Writes down the calls of a look for drift at a listing of a target, and who asked for it.
    pub async fn note_drift_calls(
        &self,
        target: &Target,
        listing: ListingId,
        by: &Actor,
        calls: &[CallRecord],
    ) -> Result<(), sqlx::Error> {
        if calls.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO drift_calls (
                 request_id, target_id, org_id, account_id, started_at, ended_at, status, look_id, listing_id, created_by,
                 credential, credential_id)
             SELECT request_id, $1, $2, $3, started_at, started_at + make_interval(secs => duration_ms / 1000.0), status,
                 $8, $9, $10, $11, $12
             FROM unnest($4::uuid[], $5::timestamptz[], $6::bigint[], $7::int[])
                 AS c (request_id, started_at, duration_ms, status)
             ON CONFLICT DO NOTHING",
        )
        .bind(target.target_id.0)
        .bind(target.org_id.as_str())
        .bind(target.account_id.as_str())
        .bind(calls.iter().map(|call| call.request_id).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.started_at).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| i64::try_from(call.duration_ms).unwrap_or(i64::MAX)).collect::<Vec<_>>())
        .bind(calls.iter().map(|call| call.status.map(i32::from)).collect::<Vec<_>>())
        .bind(Uuid::now_v7())
        .bind(listing.0)
        .bind(&by.name)
        .bind(&by.credential)
        .bind(by.credential_id.as_deref())
        .execute(&self.pool)
        .await
        .map(|_| ())
    }

    /// Takes away those that are older than this.
    pub async fn forget_drift_calls(&self, age: Duration) -> Result<u64, sqlx::Error> {
        let old = sqlx::query("DELETE FROM drift_calls WHERE started_at < now() - make_interval(secs => $1)");
        old.bind(age.as_secs_f64()).execute(&self.pool).await.map(|done| done.rows_affected())
    }
}
