//! What happens next to a listing, and when.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use sqlx::{FromRow, PgConnection};

use crate::dashboard::pieces::{moment, state, sync_link};
use crate::views::history::{self, LISTING};
use crate::views::listings::{Listing, TARGET_DELETED};
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
    let waiting: Option<Waiting> =
        sqlx::query_as(&statement).bind(listing.listing_id).fetch_optional(&mut *reader).await?;
    Ok(match waiting {
        Some(waiting) => html! {
            p { (state(&waiting.status)) " " (sentence(&waiting)) }
            p.quiet {
                "Sync " (sync_link(waiting.sync_id)) " of revision " (waiting.revision) ", sections: " (waiting.needs.join(", "))
            }
        },
        None => {
            let held = held(reader, listing).await?;
            html! { p.quiet { (rest(listing, held.as_deref())) } }
        }
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

#[derive(Debug, FromRow)]
struct Target {
    lifecycle: String,
    health: String,
    refused: Option<String>,
}

const TARGET: &str = "
SELECT t.lifecycle, t.health, h.reason AS refused
FROM channel_targets AS t LEFT JOIN target_health AS h ON h.target_id = t.target_id WHERE t.target_id = $1";

/// Who paused a target or a listing last, and why.
const PAUSED: &str = "
SELECT metadata ->> 'actor', payload #>> ARRAY[event_type, 'reason'] FROM events
WHERE aggregate_type = $1 AND aggregate_id = $2 AND event_type = $3 ORDER BY sequence DESC LIMIT 1";

/// What a next change would wait for, if it would.
async fn held(reader: &mut PgConnection, listing: &Listing) -> Result<Option<String>, sqlx::Error> {
    let target: Option<Target> = sqlx::query_as(TARGET).bind(listing.target_id).fetch_optional(&mut *reader).await?;
    let of_target = target.as_ref().map(|target| (target.lifecycle.as_str(), target.health.as_str()));
    let (what, kind, id, event) = match (listing.state.as_str(), of_target) {
        ("paused", _) => ("this listing is paused", LISTING, listing.listing_id, "ListingPaused"),
        (_, Some(("paused", _))) => ("the target is paused", history::TARGET, listing.target_id, "TargetPaused"),
        (_, Some(("active", "unauthorised"))) => {
            let reason = target.as_ref().and_then(|target| target.refused.as_ref());
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            return Ok(Some(format!("the channel refuses the target's credentials{reason}")));
        }
        _ => return Ok(None),
    };
    let paused = sqlx::query_as(PAUSED).bind(kind).bind(id.to_string()).bind(event).fetch_optional(reader).await?;
    let by = |(who, why): (Option<String>, Option<String>)| {
        let who = who.map(|who| format!(" by {who}")).unwrap_or_default();
        who + &why.map(|why| format!(": {why}")).unwrap_or_default()
    };
    Ok(Some(format!("{what}{}", paused.map(by).unwrap_or_default())))
}

/// What comes next to a listing of which nothing waits. `held` is what the next change would wait for.
fn rest(listing: &Listing, held: Option<&str>) -> String {
    let now = match (listing.state.as_str(), listing.last_outcome.as_deref()) {
        ("unlinked", _) => return "Nothing: it is not linked any more.".to_owned(),
        (state, _) if state == TARGET_DELETED => return "Nothing: its target was deleted.".to_owned(),
        (_, None) => "Its unit was not published yet. The first sync is asked for when it is.",
        (_, Some("rejected" | "exhausted" | "unauthorised")) => "Nothing by itself: the last sync failed for good.",
        _ => "Nothing: the channel has what was asked for.",
    };
    match (held, listing.last_outcome.as_deref()) {
        (Some(held), _) => format!("{now} The next change of the unit waits, as {}.", held.trim_end_matches('.')),
        (None, None) => now.to_owned(),
        (None, Some("rejected" | "exhausted" | "unauthorised")) => {
            format!("{now} The next change of the unit is sent, or send it again now.")
        }
        (None, Some(_)) => format!("{now} The next change of the unit is sent."),
    }
}
