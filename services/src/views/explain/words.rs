//! An explanation in plain words, line by line. It says what the structure says, and nothing else.

mod asked;
mod waited;

use domain::counted::{agreeing, counted};
use domain::outcome::{OutcomeClass, SyncOutcome};

use super::cancelled::Cancelled;
use super::held::Held;
use super::next::{Next, Step};
use super::rules::Rule;
use super::sync::{ExplainedAttempt, ExplainedSync};
use super::{About, Explanation};
use crate::views::elsewhere::Elsewhere;
use crate::views::holds::Holder;
use crate::views::lacking::Lacking;
use crate::views::moment::moment;
use crate::views::not_taken::{SENDS_AGAIN, became, counts, named};
use crate::views::older_state::OlderState;
use crate::views::said::said;
use crate::views::staying;
use crate::views::unproved_creations;

fn seconds(ms: i64) -> String {
    if ms < 1_000 {
        return format!("{ms} ms");
    }
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

fn detail(words: Option<&String>) -> String {
    words.map(|words| format!(": {}", said(words))).unwrap_or_default()
}

/// All of it.
pub fn words(explanation: &Explanation) -> Vec<String> {
    let mut lines = vec![about(&explanation.listing)];
    match &explanation.sync {
        None => lines.push("It never asked for a sync.".to_owned()),
        Some(sync) => {
            let goes_on = |rule: &Rule| matches!(rule, Rule::CoalescedInto { goes_on: true, .. });
            let goes_on = explanation.rules.iter().any(goes_on);
            lines.extend(asked::change(sync, goes_on));
            lines.extend(differences(sync));
            lines.extend(explanation.rules.iter().map(|one| match one {
                Rule::SkippedUnchanged { at_attempt } if sync.has_untaken => skipped_in_part(*at_attempt),
                Rule::Forced => asked::forced(sync),
                Rule::LeftOut { .. } if is_refused(sync) => refused(sync),
                one => rule(one),
            }));
            sync.attempts.iter().for_each(|attempt| lines.extend(attempted(attempt)));
            lines.extend(sync.refused.iter().map(|part| {
                let what = became(part, is_refused(sync));
                format!("  {what}: {}: {}", named(part), part.reason)
            }));
            if let Some(at) = sync.ended_at.filter(|_| !goes_on) {
                let outcome = SyncOutcome::named(sync.outcome).map_or(sync.outcome, SyncOutcome::words);
                let by = sync.cancelled.as_ref().map(Cancelled::words).unwrap_or_default();
                lines.push(format!("It ended {}: {outcome}{by}{}.", moment(at), detail(sync.detail.as_ref())));
            }
        }
    }
    // How it is sent is said with what the channel lacks, and nothing of a unit that is elsewhere is.
    let lacking = explanation.lacking.iter().filter(|_| explanation.elsewhere.is_none());
    lines.extend(lacking.flat_map(Lacking::words));
    lines.extend(explanation.older_state.iter().map(OlderState::words));
    lines.extend(explanation.elsewhere.iter().map(Elsewhere::words));
    lines.extend(unproved_creations::words(&explanation.unproved_creations));
    let taken = explanation.listing.last_revision;
    lines.extend(explanation.dead_letters.iter().flat_map(|letters| letters.words(taken)));
    lines.push(next(&explanation.next));
    lines.extend_from_slice(&explanation.next.what_to_do);
    lines
}

fn about(listing: &About) -> String {
    let channel = listing.external_id.as_ref().map(|id| format!(", {id} at the channel")).unwrap_or_default();
    format!(
        "Listing {}: unit {} on {}{channel}, {}.",
        listing.listing_id,
        listing.unit_id,
        listing.target_name,
        listing.state.replace('_', " ")
    )
}

fn differences(sync: &ExplainedSync) -> Vec<String> {
    let Some(found) = &sync.differences else {
        return vec![format!("What differs cannot be told{}.", detail(sync.differences_missing.as_ref()))];
    };
    let Some(with) = &sync.compared_with else { return Vec::new() };
    let first = with.snapshots.is_empty();
    let mut lines = vec![if found.is_empty() {
        format!("Nothing differs from {}.", with.last())
    } else if with.is_unknown() {
        format!("What the channel had of it is not known, so {}.", told_as_new(found.count()))
    } else if first {
        format!("The channel had taken nothing of it before: {}.", all_new(found.count()))
    } else {
        format!("{} from {} (snapshot {}):", differing(found.count()), with.last(), with.snapshots.join(", "))
    }];
    lines.extend(with.untaken().into_iter().chain(sync.refusals()).map(|line| format!("  {line}")));
    lines.extend(sync.doubt().map(|line| format!("  {line}")));
    lines.extend(with.unlinked.map(|line| format!("  {line}")));
    if !with.exact {
        lines.push("  This build maps the snapshots differently from the one that made the sync.".to_owned());
    }
    let told = found.words().into_iter().chain(staying::words(&sync.stays, found, sync.sent_for_hash()));
    lines.extend(told.map(|line| format!("  {line}")));
    lines
}

/// `1 field differs`.
pub fn differing(count: usize) -> String {
    format!("{} {}", counted(count, "field"), agreeing(count, "differs", "differ"))
}

/// `all 12 fields are told as new`, of a unit of which nobody knows what the channel has taken.
pub fn told_as_new(count: usize) -> String {
    let (all, are) = (agreeing(count, "", "all "), agreeing(count, "is", "are"));
    format!("{all}{} {are} told as new", counted(count, "field"))
}

/// `all 12 fields are new`, of a unit of which the channel has taken nothing.
pub fn all_new(count: usize) -> String {
    format!("{}{} {} new", agreeing(count, "", "all "), counted(count, "field"), agreeing(count, "is", "are"))
}

fn rule(rule: &Rule) -> String {
    match rule {
        Rule::SkippedUnchanged { at_attempt: false } => {
            "Skipped as unchanged: the channel had all of it when the sync was asked for, so nothing was sent."
                .to_owned()
        }
        Rule::SkippedUnchanged { at_attempt: true } => {
            "Skipped as unchanged: nothing differed any more when its turn came, so nothing was sent.".to_owned()
        }
        Rule::Forced => "Every section is sent, whatever the channel has.".to_owned(),
        Rule::StaysForced => {
            "Every section is sent, whatever the channel has: so was an earlier sync to be that had not ended."
                .to_owned()
        }
        Rule::CoalescedInto { sync_id, goes_on: true, .. } => format!(
            "Sync {sync_id} took its place. An attempt of this one that had begun goes on, and what comes of it will \
             stand here."
        ),
        Rule::CoalescedInto { sync_id, may_have_been_sent: true, .. } => format!(
            "Sync {sync_id} took its place. An attempt of this one had begun, and nobody has told how it ended: it may \
             have been sent."
        ),
        Rule::CoalescedInto { sync_id, attempted: false, .. } => {
            format!("Coalesced into sync {sync_id}, which took its place before it was sent.")
        }
        Rule::CoalescedInto { sync_id, attempted: true, .. } => {
            format!("Sync {sync_id} took its place while it was tried.")
        }
        Rule::TookPlaceOf { sync_id } => format!("It took the place of sync {sync_id}, which had not ended."),
        Rule::Waited(wait) => waited::first(wait),
        Rule::WaitedAgain(wait) => waited::again(wait),
        Rule::Held(held) => held_by(held),
        Rule::Retried { class, due_at: None, .. } => format!(
            "An attempt ended {class}, and none was burned: the next comes when the target has credentials that the channel \
             takes, not at a time."
        ),
        Rule::Retried { class, due_at: Some(due_at), free: true, .. } => {
            format!("An attempt {}; the next was due {}, and none was burned.", ended(class), moment(*due_at))
        }
        Rule::Retried { attempt, of, class, due_at: Some(due_at), free: false } => {
            let (next, due) = (attempt + 1, moment(*due_at));
            format!("Attempt {attempt} of {of} ended {class}: retry {next} of {of} was due {due}.")
        }
        Rule::TookOver { at, sync_id, since, until } => {
            let began = moment(*at);
            let whose = sync_id.map(|sync| format!(" of sync {sync}")).unwrap_or_default();
            let since = since.map(|since| format!(", begun {},", moment(since))).unwrap_or_default();
            let until = until.map(|until| format!("; nobody could take the listing over before {}", moment(until)));
            format!(
                "Before the attempt that began {began} one{whose}{since} ended without a word, so everything was to be \
                 sent{}.",
                until.unwrap_or_default()
            )
        }
        Rule::ReadFirst { at, there } => read_first(&moment(*at), there),
        Rule::SentApart { at, purpose, .. } => format!(
            "The channel refused the call for {} of {} as a whole: what it carried was sent apart, so that what is bad \
             stops only itself.",
            purpose.replace('_', " "),
            moment(*at)
        ),
        Rule::Exhausted { of } => format!("All {of} attempts failed, so it is not tried again by itself."),
        Rule::Created { at } => format!("The listing was about to be created at the channel at {}.", moment(*at)),
        Rule::LeftOut { parts } => {
            format!("{} {} left out.", counted(*parts, "part"), agreeing(*parts, "was", "were"))
        }
    }
}

/// The channel refused it for good: nothing of it was left out so that the rest could go on.
fn is_refused(sync: &ExplainedSync) -> bool {
    sync.outcome == SyncOutcome::Rejected.as_str()
}

fn refused(sync: &ExplainedSync) -> String {
    if sync.attempts.iter().all(|attempt| attempt.took.is_empty()) {
        return "It was refused as a whole.".to_owned();
    }
    format!("{}.", counts(&sync.refused, true, (" was", " were")))
}

fn read_first(at: &str, there: &[&str]) -> String {
    let found = match there {
        [] => String::new(),
        there => format!("; it had {} already, so that was not sent again", there.join(", ")),
    };
    format!(
        "Nobody knew what an earlier attempt had written, so the channel was read before anything was sent, \
         {at}{found}."
    )
}

/// The channel did not take all of what is the same.
fn skipped_in_part(at_attempt: bool) -> String {
    let when = if at_attempt { "when its turn came" } else { "when the sync was asked for" };
    format!(
        "Skipped as unchanged: what was sent last was the same {when}, so nothing was sent. The channel did not take \
         all of it; {SENDS_AGAIN}."
    )
}

fn held_by(held: &Held) -> String {
    let by = held.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let was = if held.until.is_some() { "was" } else { "has been" };
    let refused = if held.until.is_some() { "refused" } else { "has refused" };
    let what = match held.holder {
        Holder::ListingPaused => format!("The listing {was} paused{by}"),
        Holder::TargetPaused => format!("The target {was} paused{by}"),
        Holder::TargetUnauthorised => format!("The channel {refused} the target's credentials"),
        Holder::CircuitOpen => format!("The target failed again and again, and its circuit {was} open"),
    };
    let from = moment(held.from);
    let when = held.until.map_or_else(|| format!("since {from}"), |until| format!("from {from} to {}", moment(until)));
    format!("{what} {when}{}; that held it for {}.", detail(held.reason.as_ref()), seconds(held.ms))
}

/// `availability, rates in part`.
fn taken(attempt: &ExplainedAttempt) -> String {
    let section = |section: &&'static str| {
        let in_part = attempt.took_in_part.contains(section);
        format!("{section}{}", if in_part { " in part" } else { "" })
    };
    attempt.took.iter().map(section).collect::<Vec<_>>().join(", ")
}

/// How an attempt ended. One that was ended on our side did not end by itself.
fn ended(class: &str) -> String {
    let is_ours = class == OutcomeClass::Stopped.as_str();
    if is_ours { "was stopped".to_owned() } else { format!("ended {}", class.replace('_', " ")) }
}

fn attempted(attempt: &ExplainedAttempt) -> Vec<String> {
    let took = (attempt.finished_at - attempt.started_at).num_milliseconds().max(0);
    let ended = attempt.class.map_or_else(|| "ended with nothing to send".to_owned(), ended);
    let late = match (attempt.late, attempt.after_unlinking) {
        (false, _) => "",
        (true, true) => ", after the sync had ended as its listing was unlinked",
        (true, false) => ", after the sync had ended by another",
    };
    let done = if attempt.took.is_empty() { String::new() } else { format!("; the channel took {}", taken(attempt)) };
    let mut lines = vec![format!(
        "An attempt began {}, took {} and {ended}{late}{done}{}.",
        moment(attempt.started_at),
        seconds(took),
        detail(attempt.detail.as_ref())
    )];
    for call in &attempt.calls {
        let status = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        lines.push(format!(
            "  {} {} {} for {}: {status}, {}, {} ms{}",
            moment(call.started_at),
            call.method,
            call.path,
            call.purpose.replace('_', " "),
            call.class.replace('_', " "),
            call.duration_ms,
            detail(call.detail.as_ref())
        ));
        lines.extend(call.answer.iter().map(|answer| format!("    answered: {answer}")));
    }
    lines
}

fn next(next: &Next) -> String {
    let because = next.because.join("; ");
    let at = next.at.map(|at| format!(", not before {}", moment(at))).unwrap_or_default();
    let sync = next.sync_id.map(|id| format!(" of sync {id}")).unwrap_or_default();
    let attempt = next.attempt.map(|attempt| format!("attempt {attempt}{sync}")).unwrap_or_default();
    match next.step {
        Step::Nothing => format!("Next: nothing, until {} ({because}).", next.until),
        Step::UnderWay if because.is_empty() => format!("Next: {attempt} is under way."),
        Step::UnderWay if next.at.is_none() => format!("Next: {attempt} is under way: {because}."),
        Step::UnderWay => format!("Next: {attempt} is under way{at} for its next call: {because}."),
        Step::AfterAttempt => {
            format!("Next: {attempt}, as soon as no attempt of an earlier sync is under way: {because}.")
        }
        Step::WaitsForSlot => format!("Next: {attempt}, which waits for its turn{at}: {because}."),
        Step::Later => format!("Next: {attempt}{at} ({because})."),
        Step::Held => format!("Next: {attempt} is held{at}: {because}."),
        Step::NotQueuedYet => format!("Next: {attempt}: {because}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_is_no_plural() {
        assert_eq!([1, 12].map(differing), ["1 field differs", "12 fields differ"]);
        assert_eq!([1, 12].map(all_new), ["1 field is new", "all 12 fields are new"]);
        assert_eq!(
            [1, 2].map(|parts| rule(&Rule::LeftOut { parts })),
            ["1 part was left out.", "2 parts were left out."]
        );
    }

    #[test]
    fn a_section_that_was_taken_in_part_is_told_as_that() {
        let at = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let mut attempt = ExplainedAttempt {
            burned: 1,
            started_at: at,
            finished_at: at,
            class: Some("accepted_with_rejections"),
            detail: None,
            due_at: None,
            late: false,
            after_unlinking: false,
            took: vec!["availability", "rates", "content"],
            took_in_part: vec!["rates", "content"],
            calls: Vec::new(),
        };
        let told = attempted(&attempt).concat();
        let ended = "ended accepted with rejections; the channel took availability, rates in part, content in part.";
        assert!(told.ends_with(ended), "{told}");
        attempt.took_in_part.clear();
        assert!(!attempted(&attempt).concat().contains("in part"));
        for at_attempt in [false, true] {
            let told = skipped_in_part(at_attempt);
            assert!(!told.contains("had all of it") && told.contains("did not take all of it"), "{told}");
        }
    }
}
