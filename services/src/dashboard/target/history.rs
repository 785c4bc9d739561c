//! What was changed of a target, by whom: from the journal, and of its secret what the command line has put in its place, or what a rotation
//! without an event has.

use adapters::event_store::StoredEvent;
use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use domain::recorded::ChannelEvent;
use domain::target::TargetEvent;
use maud::{Markup, html};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::dashboard::pieces::{empty, moment, words};
use crate::views::by::{by, with};
use crate::views::history::{TARGET, events_but};
use crate::views::visits::{self, Visit};

/// Changes that are shown.
const SHOWN: u8 = 30;
/// How its channel answers is shown elsewhere, and may change far more often than all the rest.
const HEALTH: &str = "HealthChanged";

/// When, what, and by whom.
type Change = (DateTime<Utc>, String, String);

/// The newest first.
pub(super) async fn changes(reader: &mut PgConnection, id: Uuid) -> Result<Vec<Change>, Problem> {
    let events = events_but(reader, TARGET, id, HEALTH, SHOWN.into()).await?;
    let values = visits::of_secrets(reader, TargetId(id), SHOWN.into()).await?;
    let mut changes: Vec<Change> = events.iter().filter_map(of_event).chain(values.iter().map(of_value)).collect();
    changes.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    changes.truncate(SHOWN.into());
    Ok(changes)
}

fn of_event(stored: &StoredEvent) -> Option<Change> {
    let event = ChannelEvent::from_stored(&stored.aggregate_type, &stored.event_type, stored.payload.get());
    let what = match event {
        Ok(ChannelEvent::Target(event)) => sentence(&event)?,
        _ => stored.event_type.clone(),
    };
    Some((stored.recorded_at, what, stored.beside().map(|beside| by(&beside)).unwrap_or_default()))
}

/// A check tells whether it is good.
fn of_value(visit: &Visit) -> Change {
    let what = match visit.kind.as_str() {
        "secret_pending" => "A rotation of its secret was begun, and nobody knows yet whether it came about".to_owned(),
        "secret_taken_back" => "A rotation of its secret did not come about, and was taken back".to_owned(),
        "secret_left" => "A rotation of its secret did not come about; nothing was taken back".to_owned(),
        command => format!("A value was put in the place of its secret: distribution {}", words(command)),
    };
    let by = visit.created_by.as_deref().unwrap_or_default();
    (visit.at, what, with(by, visit.credential.as_deref(), visit.credential_id.as_deref()))
}

/// As a list of sentences.
pub(super) fn list(changes: &[Change]) -> Markup {
    if changes.is_empty() {
        return empty(
            "Nothing was changed",
            "Who makes it, configures it, pauses it or rotates its secret stands here.",
        );
    }
    html! { ol.rows { @for (at, what, by) in changes {
        li { (moment(*at)) " " (what) " " span.quiet { "by " (by) } }
    } } }
}

fn sentence(event: &TargetEvent) -> Option<String> {
    Some(match event {
        TargetEvent::TargetCreated { rate_limit, .. } => format!("Made, with a limit of {rate_limit}"),
        TargetEvent::TargetConfigured { name, base_url, account_rate_limit } => {
            let limit =
                account_rate_limit.map_or_else(|| "no limit of the account".to_owned(), |limit| limit.to_string());
            format!("Configured: {name}, {base_url}, {limit}")
        }
        TargetEvent::RateLimitChanged { rate_limit } => format!("Limit set to {rate_limit}"),
        TargetEvent::CredentialRotated { credential } => format!("Secret rotated, kept as {credential}"),
        TargetEvent::TargetPaused { reason } => format!("Paused: {reason}"),
        TargetEvent::TargetResumed {} => "Resumed".to_owned(),
        TargetEvent::TargetDeleted { reason } => format!("Deleted: {reason}"),
        TargetEvent::HealthChanged { .. } => return None,
    })
}
