//! What a target has to do.

use chrono::{DateTime, Utc};
use domain::counted::agreeing;
use maud::{Markup, html};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::dashboard::pieces::{age, empty, moment, number, state};
use crate::views::attempts::{self, NEXT};
use crate::views::queue::{BEHIND_SINCE, BY_ROW, Closed, FREE, HELD_BY, LOGIN, WAITING, status};

/// Rows of the queue that are shown.
const SHOWN: i64 = 8;
/// Rows that are counted at the most.
const COUNTED: i64 = 10_000;

#[derive(Debug, FromRow)]
struct Waiting {
    listing_id: Uuid,
    unit_id: Option<String>,
    status: String,
    /// All that holds it: its status names the first.
    held_by: Vec<String>,
    needs: Vec<String>,
    attempt: i32,
    due_at: DateTime<Utc>,
}

impl Waiting {
    /// With what keeps the target's calls: before that ends it is not sent.
    fn told(self, closed: &Closed) -> Self {
        let status = status(self.status, self.due_at, closed);
        let until = Closed { login: closed.login.filter(|_| status == LOGIN), ..*closed }.until();
        Self { status, due_at: until.map_or(self.due_at, |until| until.max(self.due_at)), ..self }
    }

    /// Somebody or something has to let it go: when it was due says nothing of when it is sent.
    fn is_held(&self) -> bool {
        !FREE.contains(&self.status.as_str())
    }
}

/// How much waits, and what is due first.
pub(super) async fn queue(reader: &mut PgConnection, id: Uuid, closed: &Closed) -> Result<Markup, sqlx::Error> {
    let count = format!(
        "SELECT count(*), min(behind_since) FROM (
             SELECT {BEHIND_SINCE} AS behind_since FROM sync_queue AS q WHERE target_id = $1 LIMIT $2
         ) AS counted"
    );
    let counted = sqlx::query_as(&count).bind(id).bind(COUNTED).fetch_one(&mut *reader).await?;
    let (count, oldest): (i64, Option<DateTime<Utc>>) = counted;
    let rows = format!(
        "SELECT q.listing_id, l.unit_id, {BY_ROW}, {HELD_BY}, q.needs, {NEXT}, q.due_at FROM {WAITING}
         WHERE q.target_id = $1 ORDER BY q.due_at, q.listing_id LIMIT $2"
    );
    let rows: Vec<Waiting> = sqlx::query_as(&rows).bind(id).bind(SHOWN).fetch_all(reader).await?;
    let rows: Vec<Waiting> = rows.into_iter().map(|row| row.told(closed)).collect();
    let Some(oldest) = oldest else {
        return Ok(empty("Nothing waits", "No listing of this target has anything to send."));
    };
    let more = if count == COUNTED { "+" } else { "" };
    Ok(html! {
        p { strong { (number(count)) (more) } (agreeing(count, " waits", " wait")) ", the oldest for " (age(oldest, Utc::now())) ", since " (moment(oldest)) }
        div.scroll tabindex="0" role="region" aria-label="Table of what waits" { table {
            thead { tr { th { "Listing" } th { "Waits as" } th { "Due" } th.wide { "Sections" } th.wide.number { "Attempt" } } }
            tbody { @for row in &rows { tr {
                td.named { a href=(format!("/listings/{}", row.listing_id)) { (row.unit_id.as_deref().unwrap_or("listing")) } }
                td { (state(&row.status)) @for held in row.held_by.iter().skip(1) { " " (state(held)) } }
                td { @if row.is_held() { span.quiet { "when it is let go" } } @else { (moment(row.due_at)) } }
                td.wide { (row.needs.join(", ")) }
                td.wide.number { (attempts::words(row.attempt)) }
            } } }
        } }
    })
}
