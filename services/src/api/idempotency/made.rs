//! What a request has changed whose answer was lost: found in the journal by the causation id of its events, or among the
//! decisions about dead letters.

use adapters::event_store::PgEventLog;
use axum::response::{IntoResponse as _, Response};
use domain::ids::{ListingId, TargetId};
use domain::recorded::Position;
use sqlx::FromRow;
use uuid::Uuid;

use crate::api::Api;
use crate::api::by::By;
use crate::api::problem::{Problem, ProblemKind};
use crate::api::{dead_letters, listings, targets};
use crate::linking::AskedFor;

/// As the index `events_of_requests` has it.
const MADE: &str = "
SELECT position, aggregate_type, aggregate_id, event_type FROM events
WHERE metadata ->> 'causation_id' = $1 AND metadata ->> 'credential' IN ('session', 'service_token', 'local_token')
    AND metadata ->> 'causation_id' IS NOT NULL
ORDER BY position";

/// An event of a change.
#[derive(Debug, FromRow)]
struct Made {
    position: i64,
    aggregate_type: String,
    aggregate_id: String,
    event_type: String,
}

/// The answer to a change that was made; `None` where none was.
pub(super) async fn answer(api: &Api, by: &By, causation_id: Uuid) -> Result<Option<Response>, Problem> {
    // What the first one's process had sent may be on its way in Postgres still, although that process has ended.
    PgEventLog::new(api.inner.pool.clone()).settled_position().await?;
    let made: Vec<Made> = sqlx::query_as(MADE).bind(causation_id.to_string()).fetch_all(&api.inner.pool).await?;
    let (Some(first), Some(last)) = (made.first(), made.last()) else {
        return dead_letters::answer(api, causation_id).await;
    };
    let unreadable = |_| ProblemKind::Internal.because("its history cannot be read by this build; ask the operator");
    let id: Uuid = first.aggregate_id.parse().map_err(unreadable)?;
    let position = Some(Position(last.position));
    if first.aggregate_type == "ChannelTarget" {
        let changed = targets::changed(api, by, TargetId(id), position).await?;
        if first.event_type == "TargetDeleted" {
            targets::end_deletion(api, by, TargetId(id)).await?;
        }
        let made_now = first.event_type == "TargetCreated";
        return Ok(Some(if made_now { changed.created(targets::path(TargetId(id))) } else { changed }.into_response()));
    }
    let id = ListingId(id);
    let requested = |event: &Made| matches!(event.event_type.as_str(), "SyncRequested" | "SyncSkipped");
    Ok(Some(match first.event_type.as_str() {
        "ListingLinked" => {
            let mut told = (Position(last.position), made.iter().any(requested));
            // A link is two commits: who came to grief between them has not asked for the first sync.
            if !told.1 {
                let asked = api.inner.syncing.catch_up(id, by.asked()).await?;
                told = (asked.position().unwrap_or(told.0), asked != AskedFor::Nothing);
            }
            listings::linked(api, by, id, told.0, told.1).await?.into_response()
        }
        _ if requested(first) => listings::requested(api, by, id, position).await?.into_response(),
        _ => listings::changed(api, by, id, position).await?.into_response(),
    }))
}
