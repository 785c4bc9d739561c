//! A state of the past that somebody sent again: the channel is behind its unit on purpose, and nothing brings it up to date by
//! itself.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::channel::Section;
use domain::listing::{Cause, ListingError};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::asked::Taken;
use super::moment::moment;
use super::said::said;
use crate::syncing::{SyncError, Syncing};

const REPLAYED: &str = "
SELECT l.listing_id, u.revision FROM channel_listings AS l
JOIN units AS u ON u.org_id = l.org_id AND u.unit_id = l.unit_id AND u.revision > l.revision
    AND (u.account_id = l.account_id OR u.account_id = l.from_account_id)
JOIN outbound_audit AS a ON a.sync_id = COALESCE(l.pending_sync_id, l.last_sync_id)
WHERE l.listing_id = ANY ($1) AND a.cause = 'replayed' AND a.revision = l.revision";

/// Of these listings those for which a state of the past was asked for last, each with the newest revision of its unit.
pub async fn replayed(connection: &mut PgConnection, listings: &[Uuid]) -> Result<HashMap<Uuid, i64>, sqlx::Error> {
    if listings.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(REPLAYED).bind(listings).fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

/// A revision that was asked for last, with the newest one where that is another on purpose.
pub fn of_newest(revision: i64, newest: Option<i64>) -> String {
    newest.map_or_else(|| revision.to_string(), |newest| format!("{revision} of {newest}, replayed"))
}

/// A state of the past that the channel has, as somebody sent it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OlderState {
    /// The sync that sent it.
    pub sync_id: Uuid,
    /// The unit's revision in it.
    pub revision: u64,
    /// The sections that the channel took of it and that differ from the newest revision, most urgent first: those of a preview,
    /// without what the channel refused.
    pub sections: Vec<&'static str>,
    /// The newest revision of the unit.
    pub newest_revision: u64,
    /// Who sent it again.
    #[schema(example = "ops@example.org")]
    pub by: String,
    /// When that was asked for.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

impl OlderState {
    /// That of a listing whose newest request sent one. The newest state of the unit is read only where an older one was sent.
    pub async fn of(syncing: &Syncing, taken: &Taken<'_>) -> Result<Option<Self>, SyncError> {
        let Taken { listing, channel, asked } = *taken;
        let request = &asked.request;
        let Cause::Replayed { reason, .. } = &request.cause else { return Ok(None) };
        let is_older = request.revision < listing.last_revision();
        let Some(link) = listing.link().filter(|_| is_older) else { return Ok(None) };
        let newest = match syncing.mapped(link, channel, None).await {
            Ok(newest) => newest,
            // Without the newest state, or where that is none of the listing's, nobody can tell what differs.
            Err(
                SyncError::UnitUnknown(_)
                | SyncError::SnapshotUnknown(_)
                | SyncError::SnapshotUnusable(_)
                | SyncError::Refused(ListingError::UnitElsewhere),
            ) => return Ok(None),
            Err(error) => return Err(error),
        };
        let accepted = &listing.accepted().sections;
        let is_of_it =
            |section: &Section| accepted.get(section).is_some_and(|hash| request.sections.get(section) == Some(hash));
        let sections: Vec<_> = newest.to_send(listing).into_iter().filter(is_of_it).map(Section::as_str).collect();
        Ok((!sections.is_empty()).then(|| Self {
            sync_id: request.sync_id.0,
            revision: request.revision,
            sections,
            newest_revision: newest.revision,
            by: asked.by.actor.name.clone(),
            at: asked.at,
            reason: reason.clone(),
        }))
    }

    /// In plain words.
    pub fn words(&self) -> String {
        format!(
            "The channel has {} as in revision {} of the unit, replayed by {} at {} ({}), while the newest is {}; the \
             next change of the unit, or a sync now, brings it up to date.",
            self.sections.join(", "),
            self.revision,
            self.by,
            moment(self.at),
            said(&self.reason),
            self.newest_revision
        )
    }
}
