//! Waiting until the intake has taken what was published.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use domain::ids::{OrgId, UnitId};
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(100);

/// The newest revision that is awaited of each unit.
pub(super) type Wanted = BTreeMap<(OrgId, UnitId), u64>;

/// A unit whose newest revision has not arrived.
#[derive(Debug, FromRow, Serialize)]
pub(super) struct Left {
    org_id: String,
    unit_id: String,
    wanted: i64,
    have: Option<i64>,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let have = self.have.map_or_else(|| "nothing".to_owned(), |have| format!("revision {have}"));
        write!(f, "{}/{} revision {}; the service has {have}", self.org_id, self.unit_id, self.wanted)
    }
}

const LEFT: &str = "
SELECT w.org_id, w.unit_id, w.wanted, u.revision AS have
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS w (org_id, unit_id, wanted)
LEFT JOIN units AS u ON u.org_id = w.org_id AND u.unit_id = w.unit_id
WHERE u.revision IS NULL OR u.revision < w.wanted ORDER BY w.org_id, w.unit_id";

/// Waits for `longest` at most; gives what has not arrived by then.
pub(super) async fn wait(pool: &PgPool, wanted: Wanted, longest: Duration) -> Result<Vec<Left>, sqlx::Error> {
    let orgs: Vec<&str> = wanted.keys().map(|(org, _)| org.as_str()).collect();
    let units: Vec<&str> = wanted.keys().map(|(_, unit)| unit.as_str()).collect();
    let revisions: Vec<i64> = wanted.values().map(|wanted| i64::try_from(*wanted).unwrap_or(i64::MAX)).collect();
    let until = Instant::now() + longest;
    loop {
        let query = sqlx::query_as(LEFT).bind(&orgs).bind(&units).bind(&revisions);
        let left: Vec<Left> = query.fetch_all(pool).await?;
        if left.is_empty() || Instant::now() >= until {
            return Ok(left);
        }
        tokio::time::sleep(POLL).await;
    }
}
