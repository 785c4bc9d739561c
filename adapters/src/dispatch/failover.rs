//! Whether the windows are those that the last slots were taken in.
//!
//! Invariant: a promoted standby or a restored backup may not know of slots that were taken last, so on another server
//! every slot counts as taken just now. A crash alone loses none: slots are given out after their commit is on disk.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction};

use super::DispatchStore;

/// For so long beside its window every slot rests after a failover: a call that the tables do not know may have begun just
/// before it, and takes its grace, the longest call time-out and [`LATE_ARRIVAL`](domain::port::LATE_ARRIVAL) at most.
pub const LONGEST_HOLD: Duration = Duration::from_secs(30);

/// Names this database and its history: a promotion begins a new timeline, a restored backup has another oid.
macro_rules! server {
    () => {
        "(SELECT system_identifier FROM pg_control_system())
            || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
            || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())"
    };
}
const SERVER: &str = server!();

/// Whether the windows are on the server that they were on before: for the statement that locks lanes, once in each.
pub(super) const IS_WHERE_IT_WAS: &str =
    concat!("(SELECT (SELECT server FROM dispatch_server) IS NOT DISTINCT FROM (", server!(), "))");

impl DispatchStore {
    /// Since when the windows are on the server that they are on: whoever looks first takes note of it. Where it is another time than
    /// before, the tables are of another server or of another state, and all slots rest: what was known of them holds no more.
    pub async fn on_server_since(&self) -> Result<DateTime<Utc>, sqlx::Error> {
        let here = format!("SELECT since FROM dispatch_server WHERE server = ({SERVER})");
        if let Some(since) = sqlx::query_scalar(&here).fetch_optional(&self.pool).await? {
            return Ok(since);
        }
        rest(self.begin(true).await?).await?;
        sqlx::query_scalar("SELECT since FROM dispatch_server").fetch_one(&self.pool).await
    }
}

/// Takes note of the server that the windows are on now. On another one than before every slot rests.
pub(super) async fn rest(mut transaction: Transaction<'_, Postgres>) -> Result<(), sqlx::Error> {
    // Whoever comes second waits for the first one's row here, and finds that there is nothing to do any more.
    let noted: Option<bool> = sqlx::query_scalar(&format!(
        "INSERT INTO dispatch_server AS here (server) VALUES ({SERVER})
         ON CONFLICT (one) DO UPDATE SET server = excluded.server, since = excluded.since
             WHERE here.server <> excluded.server
         RETURNING xmax <> 0"
    ))
    .fetch_optional(&mut *transaction)
    .await?;
    if noted != Some(true) {
        return transaction.commit().await;
    }
    let rested = sqlx::query(
        "UPDATE rate_slots s
         SET free_at = greatest(s.free_at, clock_timestamp() + make_interval(secs => $1 + r.rest_ms / 1000.0))
         FROM (SELECT t.scope, t.slot, l.rest_ms FROM rate_slots t JOIN rate_scopes l USING (scope)
               WHERE l.rest_ms IS NOT NULL ORDER BY t.scope, t.slot FOR UPDATE OF t) r
         WHERE s.scope = r.scope AND s.slot = r.slot",
    )
    .bind(LONGEST_HOLD.as_secs_f64())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    tracing::warn!(
        slots = rested.rows_affected(),
        "the database is on another server, or was restored: every window counts as used up, as it may not know the last calls"
    );
    Ok(())
}
