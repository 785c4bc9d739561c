//! `listing history`: a listing's events, from the journal itself.

use std::collections::HashMap;

use adapters::event_store::StoredEvent;
use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use domain::ids::ListingId;
use domain::listing::ListingError;
use domain::recorded::ChannelEvent;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::summary::summary;
use crate::cli::output::{Cell, text};
use crate::cli::session::Session;
use crate::cli::span::moment;

#[derive(Debug, Args)]
#[command(after_help = "With --output json each event comes whole, payload and metadata, as on stream CHANNELS.")]
pub(in crate::cli) struct HistoryArgs {
    /// The listing
    #[arg(value_name = "LISTING")]
    listing_id: ListingId,
    /// How many events at most: the newest ones, in order
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
}

#[derive(FromRow)]
struct Row {
    position: i64,
    event_id: Uuid,
    org_id: String,
    account_id: String,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: Value,
    metadata: Json<HashMap<String, String>>,
    recorded_at: DateTime<Utc>,
}

const NEWEST: &str = "
SELECT position, event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type, event_version,
    payload, metadata, recorded_at
FROM events WHERE aggregate_type = 'ChannelListing' AND aggregate_id = $1 ORDER BY sequence DESC LIMIT $2";

async fn newest(pool: &PgPool, listing_id: ListingId, limit: i64) -> Result<Vec<StoredEvent>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(NEWEST).bind(listing_id.to_string()).bind(limit).fetch_all(pool).await?;
    let event = |row: Row| StoredEvent {
        position: row.position,
        event_id: row.event_id,
        org_id: row.org_id,
        account_id: row.account_id,
        aggregate_type: row.aggregate_type,
        aggregate_id: row.aggregate_id,
        sequence: row.sequence,
        event_type: row.event_type,
        event_version: row.event_version,
        payload: row.payload,
        metadata: row.metadata.0,
        recorded_at: row.recorded_at,
    };
    Ok(rows.into_iter().rev().map(event).collect())
}

impl HistoryArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let events = newest(&pool, self.listing_id, self.limit).await?;
        if events.is_empty() {
            let refused = anyhow::Error::new(ListingError::NotFound);
            return Err(refused).with_context(|| format!("listing {}", self.listing_id));
        }
        if session.out.is_json() {
            return session.out.json(&events);
        }
        let rows = events.into_iter().map(cells).collect();
        session.out.table(&["position", "at", "event", "by", "what"], rows, "")
    }
}

fn cells(event: StoredEvent) -> Vec<Cell> {
    let actor = event.metadata.get("actor").cloned().unwrap_or_default();
    let head = vec![text(event.position), text(moment(event.recorded_at)), text(&event.event_type), text(actor)];
    let what = match event.into_recorded() {
        Ok(recorded) => match recorded.event {
            ChannelEvent::Listing(what) => summary(&what),
            ChannelEvent::Target(_) => String::new(),
        },
        Err(error) => error.to_string(),
    };
    head.into_iter().chain([text(what)]).collect()
}
