//! Waits in words: what held them, which windows were full, whose token was new, and what is not recorded of them.

use domain::counted::counted;
use uuid::Uuid;

use super::seconds;
use crate::views::explain::crowd::OtherCalls;
use crate::views::explain::rules::{FirstWait, WaitedAgain};
use crate::views::explain::waited::{WindowUse, Windows};
use crate::views::explain::waits::SHORT_MS;
use crate::views::moment::moment;

/// What is an address's, or was others' calls, stands in no journal, nor for how long the channel asks a look for drift to pause.
const SHARED: &str = "a window that its target shares with others, full or, for a look for drift or somebody else's call, paused \
                      by the channel";
/// Of a wait that began before that.
const FORGOTTEN: &str = "calls of health checks and of looks for drift (kept for three days)";
/// What no row tells of, but a metric of all calls together.
const INSIDE: &str = "the dispatcher itself (from the grant of a slot to its call)";
/// What takes the longest where processes die.
const NOBODY: &str = "that no dispatcher ran";
/// Of a wait of which an attempt that ended without a word took a part.
const UNHEARD: &str = "; meanwhile one began that ended without a word, and when, is not recorded.";
/// A lane with work looks at least so often for leases that ran out.
const LOOKS_MS: i64 = 20_000;

/// What is known of a wait.
#[derive(Debug, Clone)]
struct Known<'a> {
    ms: i64,
    /// For how much of it, at its beginning, attempts of these other syncs of the listing were under way.
    behind_ms: i64,
    behind: &'a [Uuid],
    /// That one of them whose attempt ended without a word.
    behind_silent: Option<Uuid>,
    /// The wait came after an attempt that ended without a word, or part of it did.
    after_silent: bool,
    held_ms: i64,
    windows: Windows,
    /// What is to be said of a new token, each time in a few words.
    tokens: Vec<String>,
    /// How much of the wait that may have been.
    token_ms: i64,
}

impl Known<'_> {
    /// A sentence without its end: how it began, and what is known.
    fn told(&self, began: String) -> String {
        let held = (self.held_ms > 0).then(|| format!("for {} of that it was held", seconds(self.held_ms)));
        let paused = (self.windows.paused_ms > 0).then(|| {
            let time = seconds(self.windows.paused_ms);
            format!("for {time} of that the channel had asked for a pause (429 to a call of its account)")
        });
        let own = was_full("target", self.windows.target);
        let account = self.windows.account.and_then(|account| was_full("account", account));
        let parts = [Some(began), self.was_behind(), held, paused, own, account].into_iter().flatten();
        let parts = parts.chain(self.tokens.iter().cloned());
        let left = self.ms - self.behind_ms >= SHORT_MS;
        let looks = (self.after_silent && left)
            .then(|| format!("a listing that was left so is looked for every {} s", LOOKS_MS / 1_000));
        let parts = parts.chain(looks);
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
        let silent = self
            .behind_silent
            .map(|silent| format!(", or not given up yet: that of sync {silent} ended without a word"));
        Some(format!("for {} of that {whose} under way{}", seconds(self.behind_ms), silent.unwrap_or_default()))
    }

    /// For how long a window was full at the least: of two that were nobody knows how much of it was together.
    fn full_ms(&self) -> i64 {
        self.windows.target.full_ms.max(self.windows.account.map_or(0, |account| account.full_ms))
    }

    /// Nothing that is worth a reason is left.
    fn is_explained(&self) -> bool {
        // What held it, what was full and what was paused may have been at the same time.
        let known_ms = self.held_ms.max(self.full_ms()).max(self.windows.paused_ms);
        let looks_ms = if self.after_silent { LOOKS_MS } else { 0 };
        self.ms - self.behind_ms - known_ms - self.token_ms - looks_ms < SHORT_MS
    }

    /// What nobody recorded, or nobody knows any more, with these at the end.
    fn not_recorded(&self, these: &[&str]) -> String {
        let mut all = vec!["its place among others", SHARED];
        if !self.windows.target.other_calls.known {
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
        let Windows { target, account, paused_ms } = self.windows;
        let own = ("target", target.calls_before, target.window);
        let account = account.map(|account| ("account", account.calls_before, account.window));
        let mut windows = [Some(own), account].into_iter().flatten();
        let (whose, held, of) = windows.find(|(_, held, of)| *held > 0 && held + 1 >= i64::from(*of))?;
        let longer = "each for a little longer than is recorded";
        (self.full_ms() == 0 && self.held_ms == 0 && self.behind_ms == 0 && paused_ms == 0)
            .then(|| format!("; recorded calls held {held} of the {of} slots of the {whose}'s window, {longer}"))
    }

    /// How many slots were taken of windows that were never full.
    fn room(&self) -> String {
        let Windows { target, account, .. } = self.windows;
        let own = format!("{} of its {} slots", target.calls_before, target.window);
        let account = account
            .map(|account| format!(", and {} of the {} slots of the account", account.calls_before, account.window));
        format!("at most {own}{}", account.unwrap_or_default())
    }
}

/// For how much of a wait a window was full, and of whose calls, where they were no sync's.
fn was_full(whose: &str, stood: WindowUse) -> Option<String> {
    let WindowUse { full_ms, window, window_ms, other_calls, .. } = stood;
    (full_ms > 0).then(|| {
        let slots = format!("{window} in {}", seconds(i64::from(window_ms)).replace(".0 s", " s"));
        format!("for {} of that the {whose}'s window ({slots}) was full{}", seconds(full_ms), of_no_sync(other_calls))
    })
}

/// Which of the calls that held slots were no sync's.
fn of_no_sync(others: OtherCalls) -> String {
    let of = |calls: i64, what: &str| (calls > 0).then(|| format!("{} of {what}", counted(calls, "call")));
    let said = [of(others.checks, "health checks"), of(others.drift, "looks for drift")];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() { String::new() } else { format!(", with {} among those that held it", said.join(" and ")) }
}

/// The wait for the first attempt.
pub(super) fn first(wait: &FirstWait) -> String {
    let known = Known {
        ms: wait.ms,
        behind_ms: wait.behind_ms,
        behind: &wait.behind,
        behind_silent: wait.behind_silent,
        after_silent: wait.behind_silent.is_some(),
        held_ms: wait.held_ms,
        windows: wait.windows,
        tokens: Vec::new(),
        token_ms: 0,
    };
    if wait.unheard {
        return known.told(format!("Its first attempt that is told began after {}", seconds(wait.ms))) + UNHEARD;
    }
    let told = known.told(format!("It waited {} for its first attempt", seconds(wait.ms)));
    if wait.ms < SHORT_MS {
        return format!("{told}{}.", known.nearly_full().unwrap_or_default());
    }
    if known.is_explained() {
        return format!("{told}.");
    }
    let unknown = known.not_recorded(&["a lag of the read models", NOBODY]);
    if wait.held_ms > 0 {
        return format!("{told}. What took the rest {unknown}.");
    }
    let paused = wait.windows.paused_ms > 0;
    let pause = if paused { "no other pause" } else { "no pause" };
    let none = if wait.circuit_known {
        format!("{pause} and no open circuit is recorded of that time;")
    } else {
        format!("{pause} is recorded of that time, and whether the target's circuit was open is not known; otherwise")
    };
    if known.full_ms() > 0 || wait.behind_ms > 0 || paused {
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
        behind_silent: None,
        after_silent: wait.after_silent,
        held_ms: wait.held_ms,
        windows: wait.windows,
        tokens: own.into_iter().chain(others).collect(),
        token_ms: wait.token_ms.max(if wait.new_token { SHORT_MS } else { 0 }),
    };
    let what = match wait.purpose {
        Some(purpose) => format!("its call for {}, from {} on", purpose.replace('_', " "), moment(wait.from)),
        None if wait.after_silent => format!("its next attempt, which nobody could begin before {}", moment(wait.from)),
        None => format!("its next attempt, which was due {}", moment(wait.from)),
    };
    let told = known.told(format!("It waited {} for {what}", seconds(wait.ms)));
    if wait.unheard {
        return told + UNHEARD;
    }
    if known.is_explained() {
        return format!("{told}.");
    }
    let rest = known.not_recorded(if wait.after_silent { &[NOBODY] } else { &[] });
    if known.full_ms() > 0 || wait.held_ms > 0 || wait.windows.paused_ms > 0 {
        return format!("{told}. What took the rest {rest}.");
    }
    format!("{told}. Recorded calls held {}; what took the time {rest}.", known.room())
}

#[cfg(test)]
mod tests;
