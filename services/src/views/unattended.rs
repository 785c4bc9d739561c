//! Whether somebody looks at a target that has something due. Each dispatcher looks several times in a second for lanes that are to wake, and
//! for wakes that no lane knows of yet: where one was to wake and still is, none runs, or none has room for more. Or the read models lagged: what
//! they bring late was to wake in the past from the first.

use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use sqlx::PgPool;

use super::moment::moment;

/// A target that nobody looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unattended {
    /// When its lane was to wake, UTC. Since when nobody has looked is not known: dispatchers may have looked until the read models told of it.
    pub was_due: DateTime<Utc>,
}

impl Unattended {
    /// In plain words.
    pub fn words(&self) -> String {
        let was_due = moment(self.was_due);
        format!(
            "no dispatcher has looked at its target yet, which was due {was_due}: none runs, none has room for more work, \
             or the read models tell of it only now"
        )
    }
}

// A lane that was held is let rest by dispatchers each five seconds.
const WAS_DUE: &str = "
SELECT min(wake_at) FROM (
    SELECT wake_at FROM dispatch_lanes WHERE target_id = $1
    UNION ALL
    SELECT wake_at FROM dispatch_wakes WHERE target_id = $1) AS wakes
WHERE isfinite(wake_at) AND wake_at < now() - interval '10 seconds'";

/// Whether a target that nothing holds is one. Not for a reader: no reader sees lanes.
pub async fn of(pool: &PgPool, target: TargetId) -> Result<Option<Unattended>, sqlx::Error> {
    let was_due: Option<DateTime<Utc>> = sqlx::query_scalar(WAS_DUE).bind(target.0).fetch_one(pool).await?;
    Ok(was_due.map(|was_due| Unattended { was_due }))
}
