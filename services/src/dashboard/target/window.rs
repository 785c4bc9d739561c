//! The windows of a target, read from the rows that the limiter itself works with.

use chrono::{DateTime, Utc};
use domain::window::Scope;
use maud::{Markup, html};
use sqlx::{FromRow, PgConnection};

use crate::api::targets::Target;
use crate::dashboard::pieces::{empty, moment, span};

/// One window.
#[derive(Debug, FromRow)]
pub(super) struct Window {
    scope: String,
    requests: Option<i32>,
    window_ms: Option<i32>,
    taken: i64,
    /// When the first of the taken slots comes back.
    next_free_at: Option<DateTime<Utc>>,
    /// Until when the channel has paused it.
    paused_until: Option<DateTime<Utc>>,
}

const WINDOWS: &str = "
SELECT s.scope, s.requests, s.window_ms, count(l.slot) AS taken, min(l.free_at) AS next_free_at,
    CASE WHEN s.paused_until > now() THEN s.paused_until END AS paused_until
FROM rate_scopes AS s
LEFT JOIN rate_slots AS l ON l.scope = s.scope AND l.free_at > now()
WHERE s.scope = ANY ($1)
GROUP BY s.scope, s.requests, s.window_ms, s.paused_until ORDER BY s.scope DESC";

/// Those that its calls fall under.
pub(super) async fn of(reader: &mut PgConnection, target: &Target) -> Result<Vec<Window>, sqlx::Error> {
    let account = Scope::Account(format!("{}/{}/{}", target.channel, target.base_url, target.channel_account));
    let scopes = [Scope::Target(target.target_id.to_string()), account].map(|scope| scope.to_string());
    sqlx::query_as(WINDOWS).bind(scopes.as_slice()).fetch_all(reader).await
}

/// Each as a row of slots.
pub(super) fn show(windows: &[Window]) -> Markup {
    if windows.is_empty() {
        return empty("No call was made yet", "A window is known from the first call on.");
    }
    html! { div.windows { @for window in windows { (one(window)) } } }
}

fn one(window: &Window) -> Markup {
    let name = if window.scope.starts_with("target:") { "Target" } else { "Account at the channel" };
    html! { div.window {
        h3 { (name) }
        @match (window.requests, window.window_ms) {
            (Some(requests), Some(window_ms)) => {
                p { strong { (window.taken) " of " (requests) } " requests in any " (span(i64::from(window_ms))) }
                meter min="0" max=(requests) value=(window.taken) aria-label=(format!("{name}: requests in the window")) {}
            }
            _ => p { "No limit is set; " (window.taken) " calls hold a slot." },
        }
        @if let Some(until) = window.paused_until { p.warn { "Paused by the channel until " (moment(until)) } }
        @else if let Some(at) = window.next_free_at { p.quiet { "The next slot comes back at " (moment(at)) } }
        @else { p.quiet { "All slots are free" } }
    } }
}
