//! Since when a channel has been behind with a listing: the clock of the queue and that of the audit, by one rule.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::listing::{ListingEvent, SyncAttempt, SyncRequest};
use domain::recorded::{ChannelEvent, Recorded};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::column::{bigint, column};
use crate::error::Error;

/// The clock of a job whose place is taken.
pub(crate) struct Before {
    /// Something was to be sent when it was asked for.
    pub(crate) differs: bool,
    /// Since when the channel has been behind.
    pub(crate) since: DateTime<Utc>,
}

/// The clock that a request takes over from the job whose place it takes; `None` is since its own request. Where nothing differs, or
/// differed any more, the channel is not behind.
pub(crate) fn taken_over(request: &SyncRequest, before: Option<Before>) -> Option<DateTime<Utc>> {
    before.filter(|before| before.differs && !request.needs.is_empty()).map(|before| before.since)
}

/// When the request after a job was made, of the jobs that the channel got after several others had taken their place: it has been
/// behind since then. By listing and ordinal.
#[derive(Default)]
pub(crate) struct NextRequests {
    made: HashMap<(Uuid, i64), DateTime<Utc>>,
    /// Those that the batch does not hold, each with the sequence of the event that needs it.
    wanted: Vec<(Uuid, i64, i64)>,
}

// Backwards: there are as many events in between as came during one attempt.
const MADE: &str = "
SELECT wanted.listing_id, wanted.ordinal, request.recorded_at
FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[]) AS wanted (listing_id, ordinal, sequence)
CROSS JOIN LATERAL (
    SELECT recorded_at FROM public.events
    WHERE aggregate_type = 'ChannelListing' AND aggregate_id = wanted.listing_id::text AND sequence < wanted.sequence
        AND event_type = 'SyncRequested' AND (payload #>> ARRAY[event_type, 'request', 'ordinal'])::bigint = wanted.ordinal
    ORDER BY sequence DESC LIMIT 1) AS request";

impl NextRequests {
    /// Those that a batch needs. `newest` is the ordinal of the newest job in the place of an attempt's, as far as it is stored.
    pub(crate) fn needed(batch: &[Recorded], newest: impl Fn(&Recorded, &SyncAttempt) -> Option<i64>) -> Self {
        let (mut needed, mut asked, mut latest) = (Self::default(), HashMap::new(), HashMap::new());
        for event in batch {
            let ChannelEvent::Listing(listing) = &event.event else { continue };
            let id = event.aggregate_id;
            match listing.as_ref() {
                ListingEvent::SyncRequested { request, .. } => {
                    asked.insert((id, bigint(request.ordinal)), event.recorded_at);
                    latest.insert(id, bigint(request.ordinal));
                }
                ListingEvent::SyncAccepted { attempt } | ListingEvent::SyncFoundUnchanged { attempt } => {
                    let next = bigint(attempt.ordinal) + 1;
                    let last = latest.get(&id).copied().max(newest(event, attempt));
                    if last.is_none_or(|last| last <= next) {
                        continue;
                    }
                    if let Some(at) = asked.get(&(id, next)) {
                        needed.made.insert((id, next), *at);
                    } else {
                        needed.wanted.push((id, next, event.sequence));
                    }
                }
                ListingEvent::ListingLinked { .. }
                | ListingEvent::SyncSkipped { .. }
                | ListingEvent::CreationStarted { .. }
                | ListingEvent::SyncDeferred { .. }
                | ListingEvent::SyncFailed { .. }
                | ListingEvent::SupersededSyncFailed { .. }
                | ListingEvent::LateAttemptRecorded { .. }
                | ListingEvent::ListingPaused { .. }
                | ListingEvent::ListingResumed {}
                | ListingEvent::ListingUnlinked { .. } => {}
            }
        }
        needed
    }

    /// Looks up those that the batch does not hold.
    ///
    /// The journal is asked, not a read model: its answer does not depend on how far another projection is.
    pub(crate) async fn load(mut self, connection: &mut PgConnection) -> Result<Self, Error> {
        if self.wanted.is_empty() {
            return Ok(self);
        }
        let found: Vec<(Uuid, i64, DateTime<Utc>)> = sqlx::query_as(MADE)
            .bind(column(&self.wanted, |(listing, ..)| *listing))
            .bind(column(&self.wanted, |(_, ordinal, _)| *ordinal))
            .bind(column(&self.wanted, |(.., sequence)| *sequence))
            .fetch_all(connection)
            .await?;
        self.made.extend(found.into_iter().map(|(listing, ordinal, at)| ((listing, ordinal), at)));
        Ok(self)
    }

    /// Since when the channel is behind of a job, once it has taken an earlier one: since the first change after that one. `None` stands for the
    /// job's own request.
    pub(crate) fn restarted(&self, listing: Uuid, got: i64, job: i64) -> Option<DateTime<Utc>> {
        (job - got > 1).then(|| self.made.get(&(listing, got + 1)).copied()).flatten()
    }
}
