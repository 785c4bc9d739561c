//! Who had a target looked at: the checks that somebody asked for, and the looks for drift at its listings. They are no events, and what is
//! told of them is kept for as long as [`super::health::KEPT_FOR`].

use chrono::{DateTime, Utc};
use domain::ids::{OrgId, TargetId};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a visit may be.
pub const KINDS: [&str; 2] = ["check", "drift"];

/// One wish: of several who asked for one check each has a row.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct Visit {
    /// `check`, or `drift` for a look at a listing.
    pub kind: String,
    /// Of the check, or of the look.
    pub visit_id: Uuid,
    /// Counts those who asked for one check.
    #[serde(skip)]
    pub place: i64,
    /// The listing that was looked at; absent of a check.
    pub listing_id: Option<Uuid>,
    /// When the check ended, or the look made its first call.
    pub at: DateTime<Utc>,
    /// Who asked; absent of a look that an older build made.
    pub created_by: Option<String>,
    /// The kind of credential; absent where an older build took the wish.
    pub credential: Option<String>,
    /// Which token or session it was; absent where the kind has none.
    pub credential_id: Option<String>,
    /// Calls that it took.
    pub calls: i64,
    /// How a check ended; absent of a look.
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
    GROUP BY coalesce(d.look_id, d.request_id), d.listing_id, d.created_by, d.credential, d.credential_id) AS visits
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
