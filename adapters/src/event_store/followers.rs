//! Which listings follow a unit, by the journal itself.
//!
//! The intake stores a unit's revision first and asks this second; a link reads the unit's revision after its own
//! commit. Whatever the order, one of the two sees the other, which no lagging read model could promise.

use std::collections::HashSet;

use domain::ids::{ListingId, OrgId, TargetId, UnitId};
use uuid::Uuid;

use super::store::Journal;

/// A listing that was linked to a unit at some time; its aggregate knows whether it still is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedListing {
    /// The tenant.
    pub org_id: OrgId,
    /// The unit.
    pub unit_id: UnitId,
    /// The listing.
    pub listing_id: ListingId,
    /// Its target.
    pub target_id: TargetId,
}

impl Journal {
    /// The listings of each (org, unit).
    ///
    /// One look into the index for each unit, whatever the planner thinks of many: a join is planned as a scan of all
    /// links, 140 ms for 256 units among 10,000.
    pub async fn listings_of_units(&self, units: &[(OrgId, UnitId)]) -> Result<Vec<LinkedListing>, sqlx::Error> {
        let orgs: Vec<String> = units.iter().map(|(org, _)| org.to_string()).collect();
        let unit_ids: Vec<String> = units.iter().map(|(_, unit)| unit.to_string()).collect();
        let rows = sqlx::query!(
            r#"
            SELECT u.org_id AS "org_id!", u.unit_id AS "unit_id!", e.aggregate_id AS "aggregate_id!",
                   e.target_id AS "target_id!"
            FROM unnest($1::text[], $2::text[]) AS u (org_id, unit_id)
            CROSS JOIN LATERAL (
                SELECT DISTINCT aggregate_id, payload -> 'ListingLinked' ->> 'target_id' AS target_id
                FROM events
                WHERE event_type = 'ListingLinked' AND org_id = u.org_id
                    AND payload -> 'ListingLinked' ->> 'unit_id' = u.unit_id OFFSET 0) e
            "#,
            &orgs,
            &unit_ids
        );
        let listings = rows.fetch_all(self.pool()).await?.into_iter().filter_map(|row| {
            Some(LinkedListing {
                org_id: row.org_id.parse().ok()?,
                unit_id: row.unit_id.parse().ok()?,
                listing_id: ListingId(Uuid::parse_str(&row.aggregate_id).ok()?),
                target_id: row.target_id.parse().ok()?,
            })
        });
        Ok(listings.collect())
    }

    /// Which of these organisations ever had a target. One that had stays known, so that it is asked for once.
    pub async fn known_orgs(&self, orgs: HashSet<String>) -> Result<HashSet<String>, sqlx::Error> {
        let (mut known, asked): (HashSet<String>, HashSet<String>) =
            orgs.into_iter().partition(|org| self.known().get(org).is_some());
        if asked.is_empty() {
            return Ok(known);
        }
        let asked: Vec<String> = asked.into_iter().collect();
        let found = sqlx::query_scalar!(
            r#"
            SELECT o.org_id AS "org_id!" FROM unnest($1::text[]) AS o (org_id)
            WHERE EXISTS (SELECT 1 FROM events e WHERE e.event_type = 'TargetCreated' AND e.org_id = o.org_id)
            "#,
            &asked
        );
        for org in found.fetch_all(self.pool()).await? {
            self.known().insert(org.clone(), ());
            known.insert(org);
        }
        Ok(known)
    }
}
