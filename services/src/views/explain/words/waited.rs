//! Waits in words: what held them, which windows were full, whose token was new, and what is not recorded of them.

use domain::counted::counted;
use uuid::Uuid;

use super::seconds;
use crate::views::explain::crowd::OtherCalls;
use crate::views::explain::rules::{Rule, WaitedAgain};
use crate::views::explain::waited::AccountWindow;
use crate::views::explain::waits::SHORT_MS;
use crate::views::moment::moment;

/// What is an address's, or the channel's for others, stands in no journal.
const SHARED: &str = "a window that its target shares with others, full or paused by the channel";
/// Of a wait that began before that.
const FORGOTTEN: &str = "calls of health checks and of looks for drift (kept for three days)";
/// What no row tells of, but a metric of all calls together.
const INSIDE: &str = "the dispatcher itself (from the grant of a slot to its call)";

/// What is known of a wait.
#[derive(Debug, Clone)]
struct Known<'a> {
    ms: i64,
    /// For how much of it, at its beginning, attempts of these other syncs of the listing were under way.
    behind_ms: i64,
    behind: &'a [Uuid],
    held_ms: i64,
    calls_before: i64,
    full_ms: i64,
    window: u32,
    window_ms: u32,
    others: OtherCalls,
    account: Option<&'a AccountWindow>,
    /// What is to be said of a new token, each time in a few words.
    tokens: Vec<String>,
    /// How much of the wait that may have been.
    token_ms: i64,
}

impl Known<'_> {
    /// A sentence without its end: how it began, and what is known.
    fn told(&self, began: String) -> String {
        let held = (self.held_ms > 0).then(|| format!("for {} of that it was held", seconds(self.held_ms)));
        let own = was_full("target", self.full_ms, (self.window, self.window_ms), self.others);
        let account = self.account.and_then(|account| {
            was_full("account", account.full_ms, (account.window, account.window_ms), account.other_calls)
        });
        let parts = [Some(began), self.was_behind(), held, own, account].into_iter().flatten();
        let parts = parts.chain(self.tokens.iter().cloned());
        parts.collect::<Vec<String>>().join("; ")
    }

    fn was_behind(&self) -> Option<String> {
        let (last, others) = self.behind.split_last().filter(|_| self.behind_ms > 0)?;
        let whose = if others.is_empty() {
            format!("an attempt of sync {last} was")
        } else {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
            format!("attempts of syncs {} and {last} were", others.join(", "))
        };
        Some(format!("for {} of that {whose} under way", seconds(self.behind_ms)))
    }

    /// For how long a window was full at the least: of two that were nobody knows how much of it was together.
    fn full_ms(&self) -> i64 {
        self.full_ms.max(self.account.map_or(0, |account| account.full_ms))
    }

    /// Nothing that is worth a reason is left.
    fn is_explained(&self) -> bool {
        // What held it and what was full may have been at the same time.
        self.ms - self.behind_ms - self.held_ms.max(self.full_ms()) - self.token_ms < SHORT_MS
    }

    /// What nobody recorded, or nobody knows any more, with these at the end.
    fn not_recorded(&self, these: &[&str]) -> String {
        let mut all = vec!["its place among others", SHARED];
        if !self.others.known {
            all.push(FORGOTTEN);
        }
        all.push(INSIDE);
        all.extend(these);
        let last = all.pop().unwrap_or_default();
        format!("is not recorded: {}, or {last}", all.join(", "))
    }

    /// Of a wait that is too short to need a reason: that a window had one slot left at most. The limiter gives a slot a little before
    /// the call starts, and has it back a little later than a window after its end, so it may have been full.
    fn nearly_full(&self) -> Option<String> {
        let own = ("target", self.calls_before, self.window);
        let account = self.account.map(|account| ("account", account.calls_before, account.window));
        let mut windows = [Some(own), account].into_iter().flatten();
        let (whose, held, of) = windows.find(|(_, held, of)| *held > 0 && held + 1 >= i64::from(*of))?;
        let longer = "each for a little longer than is recorded";
        (self.full_ms() == 0 && self.held_ms == 0 && self.behind_ms == 0)
            .then(|| format!("; recorded calls held {held} of the {of} slots of the {whose}'s window, {longer}"))
    }

    /// How many slots were taken of windows that were never full.
    fn room(&self) -> String {
        let own = format!("{} of its {} slots", self.calls_before, self.window);
        let account = self
            .account
            .map(|account| format!(", and {} of the {} slots of the account", account.calls_before, account.window));
        format!("at most {own}{}", account.unwrap_or_default())
    }
}

/// For how much of a wait a window was full, and of whose calls, where they were no sync's.
fn was_full(whose: &str, full_ms: i64, (window, window_ms): (u32, u32), others: OtherCalls) -> Option<String> {
    (full_ms > 0).then(|| {
        let slots = format!("{window} in {}", seconds(i64::from(window_ms)).replace(".0 s", " s"));
        format!("for {} of that the {whose}'s window ({slots}) was full{}", seconds(full_ms), of_no_sync(others))
    })
}

/// Which of the calls that held slots were no sync's.
fn of_no_sync(others: OtherCalls) -> String {
    let of = |calls: i64, what: &str| (calls > 0).then(|| format!("{} of {what}", counted(calls, "call")));
    let said = [of(others.checks, "health checks"), of(others.drift, "looks for drift")];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() { String::new() } else { format!(", with {} among those that held it", said.join(" and ")) }
}

/// The wait for the first attempt; nothing of any other rule.
pub(super) fn first(rule: &Rule) -> String {
    let Rule::Waited {
        ms,
        behind_ms,
        behind,
        held_ms,
        circuit_known,
        calls_before,
        full_ms,
        window,
        window_ms,
        other_calls,
        account,
    } = rule
    else {
        return String::new();
    };
    let known = Known {
        ms: *ms,
        behind_ms: *behind_ms,
        behind,
        held_ms: *held_ms,
        calls_before: *calls_before,
        full_ms: *full_ms,
        window: *window,
        window_ms: *window_ms,
        others: *other_calls,
        account: account.as_ref(),
        tokens: Vec::new(),
        token_ms: 0,
    };
    let told = known.told(format!("It waited {} for its first attempt", seconds(*ms)));
    if *ms < SHORT_MS {
        return format!("{told}{}.", known.nearly_full().unwrap_or_default());
    }
    if known.is_explained() {
        return format!("{told}.");
    }
    let unknown = known.not_recorded(&["a lag of the read models", "that no dispatcher ran"]);
    if *held_ms > 0 {
        return format!("{told}. What took the rest {unknown}.");
    }
    let none = if *circuit_known {
        "no pause and no open circuit is recorded of that time;"
    } else {
        "no pause is recorded of that time, and whether the target's circuit was open is not known; otherwise"
    };
    if known.full_ms() > 0 || *behind_ms > 0 {
        return format!("{told}. For the rest: {none} what took the rest {unknown}.");
    }
    format!(
        "{told}. The target's window had room: recorded calls held {}; {none} what took the time {unknown}.",
        known.room()
    )
}

/// A wait after the first attempt had begun. A channel takes a new token after about a second.
pub(super) fn again(wait: &WaitedAgain) -> String {
    let own = wait.new_token.then(|| "the token was new, and the channel takes one only after a moment".to_owned());
    let others = (wait.token_ms > 0).then(|| {
        let time = seconds(wait.token_ms);
        format!(
            "for {time} of that another sync was getting the token that it shares, which the channel takes only after a \
             moment"
        )
    });
    let known = Known {
        ms: wait.ms,
        behind_ms: 0,
        behind: &[],
        held_ms: wait.held_ms,
        calls_before: wait.calls_before,
        full_ms: wait.full_ms,
        window: wait.window,
        window_ms: wait.window_ms,
        others: wait.other_calls,
        account: wait.account.as_ref(),
        tokens: own.into_iter().chain(others).collect(),
        token_ms: wait.token_ms.max(if wait.new_token { SHORT_MS } else { 0 }),
    };
    let what = match wait.purpose {
        Some(purpose) => format!("its call for {}, from {} on", purpose.replace('_', " "), moment(wait.from)),
        None => format!("its next attempt, which was due {}", moment(wait.from)),
    };
    let told = known.told(format!("It waited {} for {what}", seconds(wait.ms)));
    if known.is_explained() {
        return format!("{told}.");
    }
    let rest = known.not_recorded(&[]);
    if known.full_ms() > 0 || wait.held_ms > 0 {
        return format!("{told}. What took the rest {rest}.");
    }
    format!("{told}. Recorded calls held {}; what took the time {rest}.", known.room())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortly(calls_before: i64, full_ms: i64, account: Option<AccountWindow>) -> String {
        first(&Rule::Waited {
            ms: 613,
            behind_ms: 0,
            behind: Vec::new(),
            held_ms: 0,
            circuit_known: true,
            calls_before,
            full_ms,
            window: 12,
            window_ms: 10_000,
            other_calls: NO_OTHERS,
            account,
        })
    }

    #[test]
    fn a_short_wait_tells_of_a_window_that_was_full_or_nearly_so() {
        let began = "It waited 613 ms for its first attempt";
        assert_eq!(shortly(3, 0, None), format!("{began}."));
        let full = format!("{began}; for 590 ms of that the target's window (12 in 10 s) was full.");
        assert_eq!(shortly(12, 590, None), full);
        let longer = "each for a little longer than is recorded";
        let nearly = |held: &str, whose: &str| {
            format!("{began}; recorded calls held {held} slots of the {whose}'s window, {longer}.")
        };
        assert_eq!(shortly(11, 0, None), nearly("11 of the 12", "target"));
        let account =
            AccountWindow { calls_before: 4, full_ms: 0, window: 5, window_ms: 3_000, other_calls: NO_OTHERS };
        assert_eq!(shortly(3, 0, Some(account)), nearly("4 of the 5", "account"));
        // No call, so no reason, however small the window is.
        assert_eq!(shortly(0, 0, Some(AccountWindow { calls_before: 0, window: 1, ..account })), format!("{began}."));
    }

    fn waited(held_ms: i64, circuit_known: bool, calls_before: i64, full_ms: i64) -> String {
        with_account((held_ms, circuit_known, calls_before, full_ms), None)
    }

    const NO_OTHERS: OtherCalls = OtherCalls { checks: 0, drift: 0, known: true };

    fn with_account(told: (i64, bool, i64, i64), account: Option<AccountWindow>) -> String {
        with_others(told, NO_OTHERS, account)
    }

    fn with_others(
        (held_ms, circuit_known, calls_before, full_ms): (i64, bool, i64, i64),
        other_calls: OtherCalls,
        account: Option<AccountWindow>,
    ) -> String {
        first(&Rule::Waited {
            ms: 9_000,
            behind_ms: 0,
            behind: Vec::new(),
            held_ms,
            circuit_known,
            calls_before,
            full_ms,
            window: 12,
            window_ms: 10_000,
            other_calls,
            account,
        })
    }

    #[test]
    fn a_wait_without_a_known_reason_says_what_is_not_known() {
        assert_eq!(waited(8_500, true, 0, 0), "It waited 9.0 s for its first attempt; for 8.5 s of that it was held.");
        let held = waited(4_500, true, 0, 0);
        assert!(held.contains("for 4.5 s of that it was held. What took the rest is not recorded"), "{held}");
        assert!(!held.contains("no pause"), "{held}");
        let full =
            "It waited 9.0 s for its first attempt; for 8.8 s of that the target's window (12 in 10 s) was full.";
        assert_eq!(waited(0, true, 12, 8_800), full);
        let rest = waited(0, true, 12, 3_000);
        assert!(rest.contains("for 3.0 s of that the target's window") && rest.contains("took the rest"), "{rest}");
        assert!(!rest.contains("had room"), "{rest}");
        let room = waited(0, true, 3, 0);
        assert!(
            room.contains("no pause and no open circuit is recorded of that time")
                && room.contains("at most 3 of its 12")
        );
        let unknown = "what took the time is not recorded: its place among others, a window that its target shares";
        assert!(room.contains(unknown) && room.contains("a lag of the read models"), "{room}");
        assert!(room.contains(&format!("paused by the channel, {INSIDE}, a lag")), "{room}");
        assert!(waited(0, false, 3, 0).contains("whether the target's circuit was open is not known"));
    }

    #[test]
    fn an_attempt_of_another_sync_that_was_under_way_is_named_and_what_is_left_is_told_of_the_rest() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let told = |behind_ms: i64, behind: &[Uuid], held_ms: i64, full_ms: i64| {
            first(&Rule::Waited {
                ms: 9_000,
                behind_ms,
                behind: behind.to_vec(),
                held_ms,
                circuit_known: true,
                calls_before: 12,
                full_ms,
                window: 12,
                window_ms: 10_000,
                other_calls: NO_OTHERS,
                account: None,
            })
        };
        let began = "It waited 9.0 s for its first attempt";
        let under_way = format!("{began}; for 8.7 s of that an attempt of sync {one} was under way.");
        assert_eq!(told(8_700, &[one], 0, 0), under_way);
        let full = "for 3.4 s of that the target's window (12 in 10 s) was full.";
        let both = format!("{began}; for 5.2 s of that attempts of syncs {one} and {two} were under way; {full}");
        assert_eq!(told(5_200, &[one, two], 0, 3_400), both);
        let rest = told(5_200, &[one], 0, 0);
        assert!(rest.contains("was under way. For the rest: no pause") && !rest.contains("had room"), "{rest}");
        // What comes after it adds up.
        assert!(told(5_200, &[one], 3_500, 0).ends_with("for 3.5 s of that it was held."));
    }

    #[test]
    fn calls_of_checks_and_of_looks_for_drift_are_told_where_a_window_was_full_and_as_long_as_they_are_known() {
        let others = |checks, drift| OtherCalls { checks, drift, ..NO_OTHERS };
        let full = |others| with_others((0, true, 12, 8_800), others, None);
        assert!(full(others(1, 0)).ends_with("was full, with 1 call of health checks among those that held it."));
        let both = "was full, with 2 calls of health checks and 3 calls of looks for drift among those that held it.";
        assert!(full(others(2, 3)).ends_with(both), "{}", full(others(2, 3)));
        let window =
            AccountWindow { calls_before: 5, full_ms: 8_800, window: 5, window_ms: 3_000, other_calls: others(0, 1) };
        let account = with_others((0, true, 3, 0), NO_OTHERS, Some(window));
        assert!(account.ends_with("(5 in 3 s) was full, with 1 call of looks for drift among those that held it."));
        let room = with_others((0, true, 3, 0), OtherCalls { known: false, ..NO_OTHERS }, None);
        let unknown = "paused by the channel, calls of health checks and of looks for drift (kept for three days)";
        assert!(room.contains(unknown), "{room}");
        assert!(!waited(0, true, 3, 0).contains("looks for drift"));
    }

    #[test]
    fn of_the_windows_of_a_target_and_its_account_the_one_that_was_full_is_named() {
        let account = |full_ms| {
            let (window, window_ms, other_calls) = (5, 3_000, NO_OTHERS);
            Some(AccountWindow { calls_before: 5, full_ms, window, window_ms, other_calls })
        };
        let full = "It waited 9.0 s for its first attempt; for 8.8 s of that the account's window (5 in 3 s) was full.";
        assert_eq!(with_account((0, true, 3, 0), account(8_800)), full);
        let both = with_account((0, true, 12, 1_000), account(8_800));
        assert!(both.contains("the target's window (12 in 10 s) was full; for 8.8 s of that the account's"), "{both}");
        let room = with_account((0, true, 3, 0), account(0));
        assert!(room.contains("at most 3 of its 12 slots, and 5 of the 5 slots of the account"), "{room}");
    }

    fn told(ms: i64, new_token: bool, token_ms: i64, full_ms: i64) -> String {
        again(&WaitedAgain {
            request_id: Some(uuid::Uuid::nil()),
            purpose: Some("read_back"),
            from: chrono::DateTime::UNIX_EPOCH,
            ms,
            held_ms: 0,
            new_token,
            token_ms,
            calls_before: 1,
            full_ms,
            window: 1,
            window_ms: 4_000,
            other_calls: NO_OTHERS,
            account: None,
        })
    }

    #[test]
    fn a_wait_for_a_call_tells_of_the_window_and_of_new_tokens() {
        let began = |s: &str| format!("It waited {s} for its call for read back, from 1970-01-01T00:00:00.000Z on");
        let full = "; for 4.0 s of that the target's window (1 in 4 s) was full";
        let token = "; the token was new, and the channel takes one only after a moment";
        assert_eq!(told(4_100, false, 0, 4_000), format!("{}{full}.", began("4.1 s")));
        assert_eq!(told(1_050, true, 0, 0), format!("{}{token}.", began("1.0 s")));
        assert!(told(6_000, true, 0, 4_000).starts_with(&format!("{}{full}{token}.", began("6.0 s"))));
        let room = told(9_000, false, 0, 0);
        assert!(
            room.contains("Recorded calls held at most 1 of its 1 slots; what took the time is not recorded"),
            "{room}"
        );
        let rest = told(9_000, false, 0, 4_000);
        assert!(rest.contains("What took the rest is not recorded"), "{rest}");
        assert!(rest.ends_with(&format!(", or {INSIDE}.")), "{rest}");
        let others = told(1_500, false, 1_200, 0);
        assert!(others.contains("for 1.2 s of that another sync was getting the token that it shares"), "{others}");
        assert!(!others.contains("not recorded"), "{others}");
    }
}
