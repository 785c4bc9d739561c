//! `listing show`: the state as the journal has it, and how the last sync ended as the read models have it.

use anyhow::Context;
use chrono::{DateTime, Utc};
use domain::channel::{RejectedPart, Section};
use domain::hash::SnapshotHash;
use domain::ids::{ExternalId, ListingId};
use domain::listing::{Creation, Link, LinkState, ListingError, Pending};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::cli::output::{Cell, Out, text};
use crate::cli::session::Session;
use crate::cli::span::{moment, optional_moment};

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    link: Link,
    state: Option<LinkState>,
    external_id: Option<ExternalId>,
    last_revision: u64,
    accepted_snapshot: Option<SnapshotHash>,
    /// An intent to create whose result is not known yet.
    creation: Option<Creation>,
    pending: Option<Pending>,
    needs: Vec<Section>,
    queue: Option<Queued>,
    last: Option<Last>,
}

#[derive(Debug, FromRow, Serialize)]
struct Queued {
    tries: i32,
    requested_at: DateTime<Utc>,
    due_at: DateTime<Utc>,
}

#[derive(Debug, FromRow, Serialize)]
struct Last {
    target_name: Option<String>,
    sync_id: Option<Uuid>,
    outcome: Option<String>,
    detail: Option<String>,
    rejected: Json<Vec<RejectedPart>>,
    accepted_at: Option<DateTime<Utc>>,
    linked_by: String,
    linked_at: DateTime<Utc>,
}

const LAST: &str = "
SELECT t.name AS target_name, l.last_sync_id AS sync_id, l.last_outcome AS outcome, l.last_detail AS detail,
    l.rejected, l.last_accepted_at AS accepted_at, l.linked_by, l.linked_at
FROM channel_listings AS l LEFT JOIN channel_targets AS t ON t.target_id = l.target_id WHERE l.listing_id = $1";

const QUEUED: &str = "SELECT tries, requested_at, due_at FROM sync_queue WHERE listing_id = $1";

async fn look(session: &Session, pool: &PgPool, id: ListingId) -> anyhow::Result<Shown> {
    let listing = session.syncing(pool).commands().load_listing(id).await?;
    Ok(Shown {
        link: listing.link().cloned().ok_or(ListingError::NotFound)?,
        state: listing.state(),
        external_id: listing.external_id().cloned(),
        last_revision: listing.last_revision(),
        accepted_snapshot: listing.accepted().snapshot,
        creation: listing.creation(),
        pending: listing.pending().cloned(),
        needs: listing.needs(),
        queue: sqlx::query_as(QUEUED).bind(id.0).fetch_optional(pool).await?,
        last: sqlx::query_as(LAST).bind(id.0).fetch_optional(pool).await?,
    })
}

pub(super) async fn show(session: &Session, listing_id: ListingId) -> anyhow::Result<()> {
    let pool = session.postgres().await?;
    let shown = look(session, &pool, listing_id).await.with_context(|| format!("listing {listing_id}"))?;
    if session.out.is_json() { session.out.json(&shown) } else { print(session.out, &shown) }
}

fn print(out: Out, shown: &Shown) -> anyhow::Result<()> {
    let link = &shown.link;
    let last = shown.last.as_ref();
    let mut fields = vec![
        ("listing", link.listing_id.to_string()),
        ("unit", format!("{} of {} / {}", link.unit_id, link.org_id, link.account_id)),
        ("target", link.target_id.to_string()),
        ("target name", last.and_then(|last| last.target_name.clone()).unwrap_or_default()),
        ("state", shown.state.map(LinkState::as_str).unwrap_or_default().to_owned()),
        ("at the channel", shown.external_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("revision", shown.last_revision.to_string()),
        ("accepted snapshot", shown.accepted_snapshot.map(|hash| hash.to_string()).unwrap_or_default()),
        ("creation under way", optional_moment(shown.creation.map(|creation| creation.started_at))),
    ];
    fields.extend(pending(shown));
    if let Some(last) = last {
        fields.extend([
            ("linked", format!("{} by {}", moment(last.linked_at), last.linked_by)),
            ("last outcome", last.outcome.clone().unwrap_or_default()),
            ("last sync", last.sync_id.map(|id| id.to_string()).unwrap_or_default()),
            ("last detail", last.detail.clone().unwrap_or_default()),
            ("last accepted", optional_moment(last.accepted_at)),
        ]);
    }
    out.record(&fields)?;
    let rejected: Vec<Vec<Cell>> = last.map(|last| last.rejected.iter().map(cells).collect()).unwrap_or_default();
    if rejected.is_empty() {
        return Ok(());
    }
    out.line("\nrefused parts:")?;
    out.table(&["section", "part", "value", "reason"], rejected, "")
}

fn pending(shown: &Shown) -> Vec<(&'static str, String)> {
    let Some(pending) = &shown.pending else { return Vec::new() };
    let needs: Vec<&str> = shown.needs.iter().map(|section| section.as_str()).collect();
    vec![
        ("pending sync", pending.sync_id.to_string()),
        ("pending snapshot", pending.snapshot.to_string()),
        ("pending needs", needs.join(", ")),
        ("burned attempts", pending.attempts.to_string()),
        ("due", shown.queue.as_ref().map(|queued| moment(queued.due_at)).unwrap_or_default()),
    ]
}

fn cells(part: &RejectedPart) -> Vec<Cell> {
    vec![text(part.section), text(&part.part), text(&part.value), text(&part.reason)]
}
