//! Who asked for a sync, and why, in plain words.

use super::detail;
use crate::views::by::on_behalf_of;
use crate::views::explain::sync::{ExplainedSync, Who};
use crate::views::moment::moment;
use crate::views::said::said;

/// A part of this service asked for it, for nobody: to have sent once more what a call of another attempt may have undone.
fn is_for_nobody(by: &Who) -> bool {
    by.credential == "service" && by.on_behalf_of.is_none()
}

/// What it sends because of whom.
pub(super) fn change(sync: &ExplainedSync, goes_on: bool) -> Vec<String> {
    let by = &sync.by;
    let credential = by.credential_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let behalf = on_behalf_of(&by.actor, by.on_behalf_of.as_deref());
    let why = match sync.cause {
        "unit_changed" => match &by.source {
            Some(source) => format!("because of a unit change from {}", said(source)),
            None => "because the unit changed".to_owned(),
        },
        "linked" => "because the unit was linked".to_owned(),
        _ if is_for_nobody(by) => format!("to be sent once more{}", detail(sync.reason.as_ref())),
        cause => format!("as {cause}{}", detail(sync.reason.as_ref())),
    };
    let trace = by.traceparent.as_ref().map(|trace| format!(", traceparent {trace}")).unwrap_or_default();
    let sent_nothing = sync.ended_at.is_some() && !goes_on && sync.attempts.iter().all(|told| told.calls.is_empty());
    let is_of = if sent_nothing { "was for" } else { "sends" };
    vec![
        format!(
            "Sync {} was asked for {} by {}{behalf} ({}{credential}), {why}.",
            sync.sync_id,
            moment(sync.requested_at),
            by.actor,
            by.credential
        ),
        format!(
            "It {is_of} revision {} of the unit, snapshot {}; correlation {}{trace}.",
            sync.revision, sync.snapshot, by.correlation_id
        ),
    ]
}

/// Why every section is sent of one that was asked for so.
pub(super) fn forced(sync: &ExplainedSync) -> String {
    let why = if is_for_nobody(&sync.by) { "nobody knows what that is by now" } else { "somebody asked for it" };
    format!("Every section is sent, whatever the channel has: {why}.")
}
