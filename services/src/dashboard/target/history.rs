//! What was changed of a target, by whom, from the journal.

use adapters::event_store::StoredEvent;
use domain::recorded::ChannelEvent;
use domain::target::TargetEvent;
use maud::{Markup, html};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::dashboard::pieces::{empty, moment};
use crate::views::by::by;
use crate::views::history::{TARGET, events_but};

/// Changes that are shown.
const SHOWN: i64 = 30;
/// How its channel answers is shown elsewhere, and may change far more often than all the rest.
const HEALTH: &str = "HealthChanged";

/// The newest first.
pub(super) async fn changes(reader: &mut PgConnection, id: Uuid) -> Result<Vec<StoredEvent>, Problem> {
    Ok(events_but(reader, TARGET, id, HEALTH, SHOWN).await?)
}

/// As a list of sentences.
pub(super) fn list(changes: &[StoredEvent]) -> Markup {
    if changes.is_empty() {
        return empty(
            "Nothing was changed",
            "Who makes it, configures it, pauses it or rotates its secret stands here.",
        );
    }
    let rows = changes.iter().filter_map(|stored| {
        let event = ChannelEvent::from_stored(&stored.aggregate_type, &stored.event_type, stored.payload.get());
        let what = match event {
            Ok(ChannelEvent::Target(event)) => sentence(&event)?,
            _ => stored.event_type.clone(),
        };
        Some((stored.recorded_at, what, stored.beside().map(|beside| by(&beside)).unwrap_or_default()))
    });
    html! { ol.rows { @for (at, what, by) in rows { li { (moment(at)) " " (what) " " span.quiet { "by " (by) } } } } }
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
