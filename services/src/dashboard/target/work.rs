//! What a target has to do, and what went wrong of late.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::dashboard::pieces::{age, empty, moment, number, state, words};
use crate::views::queue::{STATUS, WAITING};

/// Rows of the queue that are shown.
const SHOWN: i64 = 8;
/// Rows that are counted at the most.
const COUNTED: i64 = 10_000;

#[derive(Debug, FromRow)]
struct Waiting {
    listing_id: Uuid,
    unit_id: Option<String>,
    status: String,
    needs: Vec<String>,
    tries: i32,
    due_at: DateTime<Utc>,
}

const COUNT: &str = "
SELECT count(*), min(requested_at) FROM (SELECT requested_at FROM sync_queue WHERE target_id = $1 LIMIT $2) AS q";

/// How much waits, and what is due first.
pub(super) async fn queue(reader: &mut PgConnection, id: Uuid) -> Result<Markup, sqlx::Error> {
    let counted = sqlx::query_as(COUNT).bind(id).bind(COUNTED).fetch_one(&mut *reader).await?;
    let (count, oldest): (i64, Option<DateTime<Utc>>) = counted;
    let rows = format!(
        "SELECT q.listing_id, l.unit_id, {STATUS}, q.needs, q.tries, q.due_at FROM {WAITING}
         WHERE q.target_id = $1 ORDER BY q.due_at, q.listing_id LIMIT $2"
    );
    let rows: Vec<Waiting> = sqlx::query_as(&rows).bind(id).bind(SHOWN).fetch_all(reader).await?;
    let Some(oldest) = oldest else {
        return Ok(empty("Nothing waits", "No listing of this target has anything to send."));
    };
    let more = if count == COUNTED { "+" } else { "" };
    Ok(html! {
        p { strong { (number(count)) (more) } " wait, the oldest for " (age(oldest, Utc::now())) ", since " (moment(oldest)) }
        div.scroll { table {
            thead { tr { th { "Listing" } th { "Waits as" } th { "Due" } th.wide { "Sections" } th.wide { "Tries" } } }
            tbody { @for row in &rows { tr {
                td { a href=(format!("/listings/{}", row.listing_id)) { (row.unit_id.as_deref().unwrap_or("listing")) } }
                td { (state(&row.status)) }
                td { (moment(row.due_at)) }
                td.wide { (row.needs.join(", ")) }
                td.wide.number { (row.tries) }
            } } }
        } }
    })
}

#[derive(Debug, FromRow)]
struct Tally {
    outcome: String,
    class: Option<String>,
    count: i64,
    last_at: DateTime<Utc>,
    detail: Option<String>,
}

const ERRORS: &str = "
SELECT outcome, class, count(*) AS count, max(coalesce(finished_at, first_attempt_at, requested_at)) AS last_at,
    (array_agg(detail ORDER BY position DESC) FILTER (WHERE detail IS NOT NULL))[1] AS detail
FROM (SELECT * FROM outbound_audit WHERE target_id = $1 ORDER BY position DESC LIMIT 200) AS a
GROUP BY outcome, class ORDER BY count(*) DESC";

/// How the last syncs ended, by class.
pub(super) async fn errors(reader: &mut PgConnection, id: Uuid) -> Result<Markup, sqlx::Error> {
    let rows: Vec<Tally> = sqlx::query_as(ERRORS).bind(id).fetch_all(reader).await?;
    if rows.is_empty() {
        return Ok(empty("No sync yet", "Link a unit, and its first sync is asked for."));
    }
    Ok(html! { div.scroll { table {
        thead { tr { th { "Outcome" } th { "Last attempt" } th.number { "Syncs" } th.wide { "Last at" } th.wide { "In its words" } } }
        tbody { @for row in &rows { tr {
            td { (state(&row.outcome)) }
            td { (row.class.as_deref().map(words).unwrap_or_default()) }
            td.number { (number(row.count)) }
            td.wide { (moment(row.last_at)) }
            td.wide { (row.detail.as_deref().unwrap_or_default()) }
        } } }
    } } })
}
