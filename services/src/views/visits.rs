//! What somebody did with a target and is no event of it: the checks that were asked for, the looks for drift at its listings, the values
//! that the command line put in the place of its secret, and those that the API did and that have no event yet, or never came to one. What
//! is told of the first two is kept for as long as [`super::health::KEPT_FOR`], of the values for good.

use chrono::{DateTime, Utc};
use domain::ids::{OrgId, TargetId};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::credentials::changes::Change;
use crate::credentials::pending;

/// What a visit may be.
pub fn kinds() -> Vec<&'static str> {
    ["check", "drift"].into_iter().chain(Change::ALL.map(Change::as_str)).chain(pending::TOLD).collect()
}

/// One wish: of several who asked for one check each has a row.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct Visit {
    /// `check`, `drift` for a look at a listing, `secret_put` or `secret_rotate` for a value that the command of this name has put in the
    /// place of the target's secret. Of a rotation over the API that has no event: `secret_pending` while that may come, or its value is
    /// still to be taken back, `secret_taken_back` where that was done, `secret_left` where there was nothing to take back, or it was left.
    pub kind: String,
    /// Of the check, of the look, of the command, or of the rotation.
    pub visit_id: Uuid,
    /// Counts those who asked for one check.
    #[serde(skip)]
    pub place: i64,
    /// The listing that was looked at; absent of all else.
    pub listing_id: Option<Uuid>,
    /// When the check ended, the look made its first call, the value was in its place, or the rotation began.
    pub at: DateTime<Utc>,
    /// Who asked, or did it; absent of a look that an older build made.
    pub created_by: Option<String>,
    /// The kind of credential; absent where an older build took the wish.
    pub credential: Option<String>,
    /// Which token or session it was; absent where the kind has none.
    pub credential_id: Option<String>,
    /// Calls that it took.
    pub calls: i64,
    /// How a check ended; absent of all else.
    pub class: Option<String>,
}

/// Where a page of them begins: behind this one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct After {
    /// When it was.
    pub at: DateTime<Utc>,
    /// Which one.
    pub visit_id: Uuid,
    /// Whose wish.
    pub place: i64,
}

impl Visit {
    /// Where it stands.
    pub fn key(&self) -> After {
        After { at: self.at, visit_id: self.visit_id, place: self.place }
    }
}

// Checks whose turn had come are nobody's wish, and stand with the target's health.
const VISITS: &str = "
SELECT * FROM (
    SELECT 'check' AS kind, h.check_id AS visit_id, coalesce(e.place, 0) AS place, NULL::uuid AS listing_id, h.at,
        coalesce(e.asker ->> 'name', h.asked_by) AS created_by, e.asker ->> 'credential' AS credential,
        e.asker ->> 'credential_id' AS credential_id, h.calls::bigint AS calls, h.class
    FROM health_checks AS h LEFT JOIN LATERAL jsonb_array_elements(h.askers) WITH ORDINALITY AS e (asker, place) ON true
    WHERE h.target_id = $1 AND ($2::text IS NULL OR h.org_id = $2)
        AND (e.asker IS NOT NULL OR h.asked_by NOT IN ('service:health', 'service:dispatcher'))
    UNION ALL
    SELECT 'drift', coalesce(d.look_id, d.request_id), 0, d.listing_id, min(d.started_at), d.created_by, d.credential,
        d.credential_id, count(*), NULL
    FROM drift_calls AS d WHERE d.target_id = $1 AND ($2::text IS NULL OR d.org_id = $2)
    GROUP BY coalesce(d.look_id, d.request_id), d.listing_id, d.created_by, d.credential, d.credential_id
    UNION ALL
    SELECT s.kind, s.change_id, 0, NULL, s.at, s.created_by, s.credential, s.credential_id, 0, NULL
    FROM secret_changes AS s WHERE s.target_id = $1 AND ($2::text IS NULL OR s.org_id = $2)
    UNION ALL
    SELECT CASE WHEN p.state IN ('pending', 'void') THEN 'secret_pending' ELSE 'secret_' || p.state END, p.change_id, 0, NULL, p.at,
        p.created_by, p.credential, p.credential_id, 0, NULL
    FROM pending_secrets AS p WHERE p.target_id = $1 AND p.kind <> 'create' AND ($2::text IS NULL OR p.org_id = $2)) AS visits
WHERE $3::timestamptz IS NULL OR (at, visit_id, place) < ($3, $4, $5)
ORDER BY at DESC, visit_id DESC, place DESC LIMIT $6";

/// The newest first, up to so many. With an organisation, only where the target is its own.
pub async fn visits(
    connection: &mut PgConnection,
    target: TargetId,
    org: Option<&OrgId>,
    after: Option<&After>,
    limit: i64,
) -> Result<Vec<Visit>, sqlx::Error> {
    let rows = sqlx::query_as(VISITS).bind(target.0).bind(org.map(OrgId::as_str)).bind(after.map(|after| after.at));
    let rows = rows.bind(after.map(|after| after.visit_id)).bind(after.map(|after| after.place));
    rows.bind(limit).fetch_all(connection).await
}

const OF_SECRETS: &str = "
SELECT kind, change_id AS visit_id, 0::bigint AS place, NULL::uuid AS listing_id, at, created_by, credential, credential_id,
    0::bigint AS calls, NULL::text AS class
FROM secret_changes WHERE target_id = $1
UNION ALL
SELECT CASE WHEN state IN ('pending', 'void') THEN 'secret_pending' ELSE 'secret_' || state END, change_id, 0, NULL, at, created_by, credential,
    credential_id, 0, NULL
FROM pending_secrets WHERE target_id = $1 AND kind <> 'create'
ORDER BY at DESC LIMIT $2";

/// Those of its secret alone, the newest first, up to so many. Whoever asks has to see the target.
pub async fn of_secrets(
    connection: &mut PgConnection,
    target: TargetId,
    limit: i64,
) -> Result<Vec<Visit>, sqlx::Error> {
    sqlx::query_as(OF_SECRETS).bind(target.0).bind(limit).fetch_all(connection).await
}
