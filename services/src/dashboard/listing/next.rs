//! What happens next to a listing, and when.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use sqlx::{FromRow, PgConnection};

use crate::dashboard::pieces::{moment, state, sync_link};
use crate::views::listings::Listing;
use crate::views::queue::{STATUS, WAITING};

#[derive(Debug, FromRow)]
struct Waiting {
    status: String,
    sync_id: uuid::Uuid,
    revision: i64,
    needs: Vec<String>,
    tries: i32,
    due_at: DateTime<Utc>,
}

pub(super) async fn show(reader: &mut PgConnection, listing: &Listing) -> Result<Markup, sqlx::Error> {
    let statement = format!(
        "SELECT {STATUS}, q.sync_id, q.revision, q.needs, q.tries, q.due_at FROM {WAITING} WHERE q.listing_id = $1"
    );
    let waiting: Option<Waiting> = sqlx::query_as(&statement).bind(listing.listing_id).fetch_optional(reader).await?;
    Ok(match waiting {
        Some(waiting) => html! {
            p { (state(&waiting.status)) " " (sentence(&waiting)) }
            p.quiet {
                "Sync " (sync_link(waiting.sync_id)) " of revision " (waiting.revision) ", sections: " (waiting.needs.join(", "))
            }
        },
        None => html! { p.quiet { (rest(listing)) } },
    })
}

fn sentence(waiting: &Waiting) -> Markup {
    let attempt = waiting.tries + 1;
    match waiting.status.as_str() {
        "under way" => html! { "Attempt " (attempt) " is being made now." },
        "due" => html! { "Attempt " (attempt) " waits for a slot of the window." },
        "later" => html! { "Attempt " (attempt) " is due at " (moment(waiting.due_at)) "." },
        "listing paused" => html! { "It waits until somebody resumes this listing." },
        "target paused" => html! { "It waits until somebody resumes the target." },
        "target unauthorised" => html! { "It waits until the target has credentials that the channel takes." },
        _ => html! { "It waits." },
    }
}

fn rest(listing: &Listing) -> &'static str {
    match (listing.state.as_str(), listing.last_outcome.as_deref()) {
        ("unlinked", _) => "Nothing: it is not linked any more.",
        (state, _) if state == crate::views::listings::TARGET_DELETED => "Nothing: its target was deleted.",
        (_, None) => "Its unit was not published yet. The first sync is asked for when it is.",
        (_, Some("rejected" | "exhausted" | "unauthorised")) => {
            "Nothing by itself: the last sync failed for good. The next change of the unit is sent, or send it again now."
        }
        _ => "Nothing: the channel has what was asked for. The next change of the unit is sent.",
    }
}
