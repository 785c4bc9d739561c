//! The windows of a target, shown as rows of slots.

use domain::target::Lifecycle;
use domain::window::Scope;
use maud::{Markup, html};
use sqlx::PgConnection;

use crate::api::targets::Target;
use crate::dashboard::pieces::{empty, moment, span};
use crate::views::windows::{self, ScopeWindow};

/// Those that its calls fall under.
pub(super) async fn of(reader: &mut PgConnection, target: &Target) -> Result<Vec<ScopeWindow>, sqlx::Error> {
    let account = Scope::account(&target.channel, &target.base_url, &target.channel_account);
    let own_limit = target.account_rate_limit.as_deref().and_then(|limit| limit.parse().ok());
    let mut windows = windows::of_target(reader, target.target_id, &account, own_limit).await?;
    // Whose target is deleted waits for nothing there.
    windows.retain(|window| window.withheld.is_none() || target.lifecycle != Lifecycle::Deleted.as_str());
    Ok(windows)
}

/// Each as a row of slots.
pub(super) fn show(windows: &[ScopeWindow]) -> Markup {
    html! {
        @if windows.iter().all(|window| window.withheld.is_some()) {
            (empty("No call was made yet", "A window is known from the first call on."))
        }
        @if !windows.is_empty() { div.windows { @for window in windows { (one(window)) } } }
    }
}

/// Of an account that may be somebody else's.
fn withheld(window: &ScopeWindow) -> Markup {
    html! {
        @match (window.requests, window.window_ms) {
            (Some(requests), Some(window_ms)) => {
                p { "This target asks for " (requests) " requests in any " (span(i64::from(window_ms))) }
            }
            _ => p { "This target sets no limit" },
        }
        p.quiet { "How much of it is in use is not shown until the channel is known to take the target's credentials" }
    }
}

fn one(window: &ScopeWindow) -> Markup {
    let name = match window.kind() {
        "target" => "Target",
        "egress" => "Address that calls leave from",
        _ => "Account at the channel",
    };
    if window.withheld.is_some() {
        return html! { div.window { h3 { (name) } (withheld(window)) } };
    }
    html! { div.window {
        h3 { (name) }
        @match (window.requests, window.window_ms) {
            (Some(requests), Some(window_ms)) => {
                @match window.in_use {
                    Some(in_use) => {
                        p { strong { (in_use) " of " (requests) } " requests in any " (span(i64::from(window_ms))) }
                        meter min="0" max=(requests) value=(in_use) aria-label=(format!("{name}: requests in the window")) {}
                    }
                    None => p { strong { "Not full" } ", with " (requests) " requests in any " (span(i64::from(window_ms))) },
                }
            }
            _ => p { "No limit is set" },
        }
        @if let Some(until) = window.paused_until { p.warn { "Paused by the channel until " (moment(until)) } }
        @else if let Some(at) = window.next_free_at { p.quiet { "The next slot comes back at " (moment(at)) } }
        @else if window.requests.and(window.in_use).is_some() { p.quiet { "All slots are free" } }
    } }
}
