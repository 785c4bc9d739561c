//! Whether somebody looks at a target that has something due. Each dispatcher looks several times in a second for lanes that are to wake, and
//! for wakes that no lane knows of yet: where one was to wake and still is, none runs, or none has room for more.

use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use sqlx::PgPool;

use super::moment::moment;

/// A target that nobody looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unattended {
    /// When its lane was to wake, UTC.
    pub since: DateTime<Utc>,
}

impl Unattended {
    /// In plain words.
    pub fn words(&self) -> String {
        let since = moment(self.since);
        format!("no dispatcher has looked at its target since {since}: none runs, or none has room for more work")
    }
}

// A lane that was held is let rest by dispatchers each five seconds.
const SINCE: &str = "
SELECT min(wake_at) FROM (
    SELECT wake_at FROM dispatch_lanes WHERE target_id = $1
    UNION ALL
    SELECT wake_at FROM dispatch_wakes WHERE target_id = $1) AS wakes
WHERE isfinite(wake_at) AND wake_at < now() - interval '10 seconds'";

/// Whether a target that nothing holds is one. Not for a reader: no reader sees lanes.
pub async fn of(pool: &PgPool, target: TargetId) -> Result<Option<Unattended>, sqlx::Error> {
    let since: Option<DateTime<Utc>> = sqlx::query_scalar(SINCE).bind(target.0).fetch_one(pool).await?;
    Ok(since.map(|since| Unattended { since }))
}
