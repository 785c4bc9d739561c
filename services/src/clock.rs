//! This host's clock beside Postgres's. Windows and leases go by the latter; times of events, and with them the grace of a creation
//! (`CREATION_GRACE`), by those of the hosts, of which any two may differ by 5 s.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

/// Two hosts that are so far off, one ahead and one behind, are within those 5 s.
const MOST: TimeDelta = TimeDelta::seconds(2);

/// How far this host is ahead of Postgres; below zero, how far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ahead(TimeDelta);

impl Ahead {
    /// Asks Postgres. As far as the way there and back may explain it, there is no difference.
    pub(crate) async fn of(pool: &PgPool) -> Result<Self, sqlx::Error> {
        // What making a connection takes is not to count.
        let mut connection = pool.acquire().await?;
        let asked_at = Utc::now();
        let theirs: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut *connection).await?;
        // A clock may be set back meanwhile.
        let answered_at = Utc::now().max(asked_at);
        Ok(Self(theirs.clamp(asked_at, answered_at) - theirs))
    }

    pub(crate) fn is_too_far(self) -> bool {
        self.0.abs() > MOST
    }

    pub(crate) fn words(self) -> String {
        let tenths = (self.0.abs().num_milliseconds() + 50) / 100;
        let way = if self.0 < TimeDelta::zero() { "behind" } else { "ahead of" };
        format!("the clock of this host is {}.{} s {way} Postgres's", tenths / 10, tenths % 10)
    }
}

/// Warns where the difference is more than it should be.
pub(crate) async fn warn(pool: &PgPool) {
    // That Postgres cannot be asked is told by others.
    let Ok(ahead) = Ahead::of(pool).await else { return };
    if ahead.is_too_far() {
        tracing::warn!("{}: have both set by NTP, as two hosts may differ by 5 s at most", ahead.words());
    }
}
