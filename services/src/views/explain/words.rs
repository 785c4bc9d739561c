//! An explanation in plain words, line by line. It says what the structure says, and nothing else.

use domain::counted::{agreeing, counted};

use super::held::Held;
use super::rules::{Next, Rule, Step, WaitedAgain};
use super::sync::{ExplainedAttempt, ExplainedSync};
use super::waits::SHORT_MS;
use super::{About, Explanation};
use crate::views::holds::Holder;
use crate::views::moment::moment;

/// What is the account's or an address's stands in no journal.
const SHARED: &str = "a window that its target shares with others, full or paused by the channel";

fn seconds(ms: i64) -> String {
    if ms < 1_000 {
        return format!("{ms} ms");
    }
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

fn detail(words: Option<&String>) -> String {
    words.map(|words| format!(": {}", words.trim_end_matches('.'))).unwrap_or_default()
}

/// All of it.
pub fn words(explanation: &Explanation) -> Vec<String> {
    let mut lines = vec![about(&explanation.listing)];
    match &explanation.sync {
        None => lines.push("It never asked for a sync.".to_owned()),
        Some(sync) => {
            lines.extend(change(sync));
            lines.extend(differences(sync));
            lines.extend(explanation.rules.iter().map(rule));
            sync.attempts.iter().for_each(|attempt| lines.extend(attempted(attempt)));
            lines.extend(sync.refused.iter().map(|part| {
                let value = if part.value.is_empty() { String::new() } else { format!(" ({})", part.value) };
                format!("  left out: {}{value}: {}", part.part, part.reason)
            }));
            if let Some(at) = sync.ended_at {
                let outcome = sync.outcome.replace('_', " ");
                lines.push(format!("It ended {}: {outcome}{}.", moment(at), detail(sync.detail.as_ref())));
            }
        }
    }
    lines.push(next(&explanation.next));
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

fn change(sync: &ExplainedSync) -> Vec<String> {
    let by = &sync.by;
    let credential = by.credential_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let behalf = by.on_behalf_of.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
    let why = match sync.cause {
        "unit_changed" => "because the unit changed".to_owned(),
        "linked" => "because the unit was linked".to_owned(),
        cause => format!("as {cause}{}", detail(sync.reason.as_ref())),
    };
    let trace = by.traceparent.as_ref().map(|trace| format!(", traceparent {trace}")).unwrap_or_default();
    vec![
        format!(
            "Sync {} was asked for {} by {}{behalf} ({}{credential}), {why}.",
            sync.sync_id,
            moment(sync.requested_at),
            by.actor,
            by.credential
        ),
        format!(
            "It sends revision {} of the unit, snapshot {}; correlation {}{trace}.",
            sync.revision, sync.snapshot, by.correlation_id
        ),
    ]
}

fn differences(sync: &ExplainedSync) -> Vec<String> {
    let Some(found) = &sync.differences else {
        return vec![format!("What differs cannot be told{}.", detail(sync.differences_missing.as_ref()))];
    };
    let Some(with) = &sync.compared_with else { return Vec::new() };
    let first = with.snapshots.is_empty();
    let mut lines = vec![if found.is_empty() {
        "Nothing differs from what the channel took last.".to_owned()
    } else if first {
        format!("The channel had taken nothing of it before: {}.", all_new(found.count()))
    } else {
        format!(
            "{} from what the channel took last (snapshot {}):",
            differing(found.count()),
            with.snapshots.join(", ")
        )
    }];
    if !with.certain {
        lines.push("  a call has ended since of which nobody knows what it wrote".to_owned());
    }
    if !with.exact {
        lines.push("  this build maps the snapshots differently from the one that made the sync".to_owned());
    }
    lines.extend(found.words().into_iter().map(|line| format!("  {line}")));
    lines
}

/// `1 field differs`.
pub fn differing(count: usize) -> String {
    format!("{} {}", counted(count, "field"), agreeing(count, "differs", "differ"))
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
        Rule::Forced => "Every section is sent, whatever the channel has: somebody asked for it.".to_owned(),
        Rule::StaysForced => {
            "Every section is sent, whatever the channel has: somebody asked for an earlier sync that had not ended."
                .to_owned()
        }
        Rule::CoalescedInto { sync_id, attempted: false } => {
            format!("Coalesced into sync {sync_id}, which took its place before it was sent.")
        }
        Rule::CoalescedInto { sync_id, attempted: true } => {
            format!("Sync {sync_id} took its place while it was tried.")
        }
        Rule::TookPlaceOf { sync_id } => format!("It took the place of sync {sync_id}, which had not ended."),
        Rule::Waited { ms, held_ms, circuit_known, calls_before, full_ms, window, window_ms } => {
            let began = format!("It waited {} for its first attempt", seconds(*ms));
            if *ms < SHORT_MS {
                return format!("{began}.");
            }
            let known: Vec<String> = [Some(began), was_held(*held_ms), was_full(*full_ms, (*window, *window_ms))]
                .into_iter()
                .flatten()
                .collect();
            let known = known.join("; ");
            if *held_ms > 0 || ms - full_ms < SHORT_MS {
                return format!("{known}.");
            }
            format!("{known}. {}", unknown(*circuit_known, (*full_ms == 0).then_some((*calls_before, *window))))
        }
        Rule::WaitedAgain(wait) => waited_again(wait),
        Rule::Held(held) => held_by(held),
        Rule::Retried { class, due_at: None, .. } => format!(
            "An attempt ended {class}, and none was burned: the next comes when the target has credentials that the channel \
             takes, not at a time."
        ),
        Rule::Retried { class, due_at: Some(due_at), free: true, .. } => {
            format!("An attempt ended {class}; the next was due {}, and none was burned.", moment(*due_at))
        }
        Rule::Retried { attempt, of, class, due_at: Some(due_at), free: false } => {
            let (next, due) = (attempt + 1, moment(*due_at));
            format!("Attempt {attempt} of {of} ended {class}: retry {next} of {of} was due {due}.")
        }
        Rule::TookOver { at } => {
            let began = moment(*at);
            format!("Before the attempt that began {began} one ended without a word, so everything was to be sent.")
        }
        Rule::Exhausted { of } => format!("All {of} attempts failed, so it is not tried again by itself."),
        Rule::Created { at } => format!("The listing was about to be created at the channel at {}.", moment(*at)),
        Rule::LeftOut { parts } => {
            format!("{} {} left out.", counted(*parts, "part"), agreeing(*parts, "was", "were"))
        }
    }
}

/// A wait after the first attempt had begun. A channel takes a new token after about a second.
fn waited_again(wait: &WaitedAgain) -> String {
    let (calls_before, full_ms, window) = (wait.calls_before, wait.full_ms, wait.window);
    let what = match wait.purpose {
        Some(purpose) => format!("its call for {}, from {} on", purpose.replace('_', " "), moment(wait.from)),
        None => format!("its next attempt, which was due {}", moment(wait.from)),
    };
    let began = format!("It waited {} for {what}", seconds(wait.ms));
    let token = wait.new_token.then(|| "the token was new, and the channel takes one only after a moment".to_owned());
    let token_ms = if wait.new_token { SHORT_MS } else { 0 };
    let known = [Some(began), was_held(wait.held_ms), was_full(full_ms, (window, wait.window_ms)), token];
    let known = known.into_iter().flatten().collect::<Vec<_>>().join("; ");
    if wait.held_ms > 0 || wait.ms - full_ms - token_ms < SHORT_MS {
        return format!("{known}.");
    }
    let rest = format!("is not recorded: its place among others, or {SHARED}");
    match full_ms {
        0 => {
            format!("{known}. Recorded calls held at most {calls_before} of {window} slots; what took the time {rest}.")
        }
        _ => format!("{known}. What took the rest {rest}."),
    }
}

fn was_held(held_ms: i64) -> Option<String> {
    (held_ms > 0).then(|| format!("for {} of that it was held", seconds(held_ms)))
}

/// For how much of a wait a window was full.
fn was_full(full_ms: i64, (window, window_ms): (u32, u32)) -> Option<String> {
    (full_ms > 0).then(|| {
        let slots = format!("{window} in {}", seconds(i64::from(window_ms)).replace(".0 s", " s"));
        format!("for {} of that the target's window ({slots}) was full", seconds(full_ms))
    })
}

/// What may have taken the time of which nothing is recorded. `room` are the slots that were taken, of those that there are,
/// where the window was never full.
fn unknown(circuit_known: bool, room: Option<(i64, u32)>) -> String {
    let none = if circuit_known {
        "no pause and no open circuit is recorded of that time;"
    } else {
        "no pause is recorded of that time, and whether the target's circuit was open is not known; otherwise"
    };
    let (room, time) = match room {
        Some((taken, of)) => {
            (format!("The target's window had room: recorded calls held at most {taken} of its {of} slots; "), "time")
        }
        None => ("For the rest: ".to_owned(), "rest"),
    };
    format!(
        "{room}{none} what took the {time} is not recorded: its place among others, {SHARED}, or that no dispatcher ran."
    )
}

fn held_by(held: &Held) -> String {
    let by = held.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let what = match held.holder {
        Holder::ListingPaused => format!("The listing was paused{by}"),
        Holder::TargetPaused => format!("The target was paused{by}"),
        Holder::TargetUnauthorised => "The channel refused the target's credentials".to_owned(),
        Holder::CircuitOpen => "The target failed again and again, and its circuit was open".to_owned(),
    };
    let (from, until) = (moment(held.from), moment(held.until));
    format!("{what} from {from} to {until}{}; that held it for {}.", detail(held.reason.as_ref()), seconds(held.ms))
}

fn attempted(attempt: &ExplainedAttempt) -> Vec<String> {
    let took = (attempt.finished_at - attempt.started_at).num_milliseconds().max(0);
    let ended = attempt.class.map_or_else(|| "with nothing to send".to_owned(), |class| class.replace('_', " "));
    let late = if attempt.late { ", after the sync had ended by another" } else { "" };
    let done =
        if attempt.took.is_empty() { String::new() } else { format!("; the channel took {}", attempt.took.join(", ")) };
    let mut lines = vec![format!(
        "An attempt began {}, took {} and ended {ended}{late}{done}{}.",
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
        Step::Nothing => {
            format!("Next: nothing, until the unit changes or somebody asks for a sync or a link ({because}).")
        }
        Step::UnderWay if because.is_empty() => format!("Next: {attempt} is under way."),
        Step::UnderWay => format!("Next: {attempt} is under way{at} for its next call: {because}."),
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
    fn a_wait_without_a_known_reason_says_what_is_not_known() {
        let told = |held_ms, circuit_known, calls_before, full_ms| {
            let (ms, window, window_ms) = (9_000, 12, 10_000);
            rule(&Rule::Waited { ms, held_ms, circuit_known, calls_before, full_ms, window, window_ms })
        };
        assert_eq!(told(4_500, true, 0, 0), "It waited 9.0 s for its first attempt; for 4.5 s of that it was held.");
        let full =
            "It waited 9.0 s for its first attempt; for 8.8 s of that the target's window (12 in 10 s) was full.";
        assert_eq!(told(0, true, 12, 8_800), full);
        let rest = told(0, true, 12, 3_000);
        assert!(rest.contains("for 3.0 s of that the target's window") && rest.contains("took the rest"), "{rest}");
        assert!(!rest.contains("had room"), "{rest}");
        let room = told(0, true, 3, 0);
        assert!(
            room.contains("no pause and no open circuit is recorded of that time")
                && room.contains("at most 3 of its 12")
        );
        assert!(
            room.contains(
                "what took the time is not recorded: its place among others, a window that its target shares"
            )
        );
        assert!(told(0, false, 3, 0).contains("whether the target's circuit was open is not known"));
    }

    #[test]
    fn a_wait_for_a_call_tells_of_the_window_and_of_a_new_token() {
        let told = |ms, new_token, full_ms| {
            waited_again(&WaitedAgain {
                request_id: Some(uuid::Uuid::nil()),
                purpose: Some("read_back"),
                from: chrono::DateTime::UNIX_EPOCH,
                ms,
                held_ms: 0,
                new_token,
                calls_before: 1,
                full_ms,
                window: 1,
                window_ms: 4_000,
            })
        };
        let began = |s: &str| format!("It waited {s} for its call for read back, from 1970-01-01T00:00:00.000Z on");
        let full = "; for 4.0 s of that the target's window (1 in 4 s) was full";
        let token = "; the token was new, and the channel takes one only after a moment";
        assert_eq!(told(4_100, false, 4_000), format!("{}{full}.", began("4.1 s")));
        assert_eq!(told(1_050, true, 0), format!("{}{token}.", began("1.0 s")));
        assert!(told(6_000, true, 4_000).starts_with(&format!("{}{full}{token}.", began("6.0 s"))));
        assert!(told(9_000, false, 0).contains("held at most 1 of 1 slots; what took the time is not recorded"));
        assert!(told(9_000, false, 4_000).contains("What took the rest is not recorded"));
    }
}
