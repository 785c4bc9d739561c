//! What a look for drift has found, in plain words.

use domain::counted::{agreeing, counted};
use domain::listing::Link;

use super::Drift;
use crate::views::explain::words::differing;
use crate::views::gone;
use crate::views::known::CALL_UNKNOWN;

/// All of it. `link` is what its listing is linked as, for what to do where it is gone.
pub(super) fn words(drift: &Drift, link: Option<&Link>) -> Vec<String> {
    let (id, calls) = (&drift.external_id, counted(drift.calls.len(), "call"));
    let last = match (drift.under_way_sync_id, drift.compared_with.refused.is_empty()) {
        (Some(_), _) => "what it took before",
        (None, true) => "what was sent last",
        (None, false) => "what it took last",
    };
    if drift.gone {
        return vec![
            format!("The channel has no listing {id} any more, so nothing could be compared; {calls}."),
            relink(drift, link),
        ];
    }
    let mut lines = vec![match (drift.in_line, drift.differences.is_empty()) {
        (true, true) => format!("Listing {id} at the channel is {last}; {calls}."),
        (false, _) if drift.archived && drift.sent_meanwhile.is_empty() && drift.differences.unexpected() == 0 => {
            format!("Listing {id} is in the channel's archive; its fields are {last}; {calls}.")
        }
        (true, false) => format!("Listing {id} at the channel is {last}, but for what is explained; {calls}."),
        (false, _) if drift.differences.unexpected() == 0 => {
            format!("Of listing {id} at the channel not all could be compared with {last}; {calls}.")
        }
        (false, _) => {
            let fields = differing(drift.differences.unexpected());
            format!("Listing {id} at the channel is not {last}: {fields} (sent -> there); {calls}.")
        }
    }];
    lines.extend(drift.differences.words().into_iter().map(|line| format!("  {line}")));
    if !drift.sent_meanwhile.is_empty() {
        let (sections, was) = (drift.sent_meanwhile.join(", "), agreeing(drift.sent_meanwhile.len(), "was", "were"));
        lines.push(format!(
            "While it was read, or just after that, {sections} {was} sent, so nobody can tell whether the channel has \
             that: look again."
        ));
    }
    lines.extend(drift.compared_with.refusals_after(&drift.differences));
    if !drift.compared_with.in_doubt.is_empty() && !drift.differences.is_empty() {
        lines.push(format!("{CALL_UNKNOWN}, so the channel may have something newer."));
    }
    lines.extend(drift.compared_with.unlinked.map(str::to_owned));
    if let Some(sync) = drift.under_way_sync_id {
        let differs = drift.differences.unexpected() > 0;
        let wrote = if differs { "may have written what differs" } else { "may change this" };
        lines.push(format!("An attempt of sync {sync} was under way then, and {wrote}: look again once it has ended."));
    }
    if let Some(sync) = drift.pending_sync_id.filter(|_| drift.pending_sync_id != drift.under_way_sync_id) {
        lines.push(format!("Sync {sync} waits and may change this."));
    }
    if drift.archived {
        lines.push(format!(
            "It is archived at the channel, which refuses changes: take it out of the archive there, then {}.",
            sync(drift)
        ));
    } else if drift.differences.unexpected() > 0 {
        lines.push(format!("{} sends all of it again.", sync(drift)));
    }
    lines
}

/// Both ways to ask for a sync: whoever reads this is at one of the doors.
fn sync(Drift { listing_id, .. }: &Drift) -> String {
    format!(
        "`distribution listing sync {listing_id} --reason REASON` (over HTTP `POST \
         /api/channels/listings/{listing_id}/sync` with a reason)"
    )
}

fn relink(drift: &Drift, link: Option<&Link>) -> String {
    let id = drift.listing_id;
    let (target, unit) = link.map_or_else(
        || ("TARGET".to_owned(), "UNIT".to_owned()),
        |link| (link.target_id.to_string(), link.unit_id.to_string()),
    );
    gone::remedy(&id, &target, &unit)
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use domain::channel::Section;
    use domain::difference::{Differences, FieldDifference};
    use uuid::Uuid;

    use super::*;
    use crate::views::known::{ComparedWith, RefusedSection};

    #[test]
    fn what_was_just_read_is_in_no_doubt_where_nothing_differs() {
        let refused = RefusedSection { section: "rates", status: 422, at: Utc::now(), certain: false };
        for differs in [false, true] {
            let mut differences = Differences::default();
            if differs {
                let field = FieldDifference::new("calendar".to_owned(), None, Some(1.into()));
                differences.add(Section::Rates, vec![field]);
            }
            let drift = Drift {
                listing_id: Uuid::nil(),
                external_id: "40001".to_owned(),
                in_line: !differs,
                gone: false,
                archived: false,
                read_at: Utc::now(),
                created_by: "ops@example.org".to_owned(),
                credential: "session".to_owned(),
                credential_id: None,
                sections: vec!["rates"],
                sent_meanwhile: Vec::new(),
                compared_with: ComparedWith {
                    snapshots: Vec::new(),
                    certain: false,
                    refused: vec![refused],
                    not_taken: Vec::new(),
                    in_doubt: vec!["rates"],
                    unlinked: None,
                    exact: true,
                },
                differences,
                pending_sync_id: None,
                under_way_sync_id: None,
                calls: Vec::new(),
                words: Vec::new(),
            };
            let told = words(&drift, None).join("\n");
            assert_eq!(told.contains("40001 at the channel is what it took last"), !differs, "{told}");
            assert!(told.contains("The channel refused rates (HTTP 422 at "), "{told}");
            let wonders = ["nobody knows whether some of it went in", "may have something newer"];
            assert_eq!(wonders.map(|words| told.contains(words)), [differs; 2], "{told}");
        }
    }
}
