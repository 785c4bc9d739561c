//! What is told of a wait, by what is known of it.

use super::*;

fn shortly(calls_before: i64, full_ms: i64, account: Option<WindowUse>) -> String {
    first(&FirstWait {
        ms: 613,
        behind_ms: 0,
        behind: Vec::new(),
        behind_silent: None,
        unheard: false,
        held_ms: 0,
        circuit_known: true,
        windows: Windows {
            target: WindowUse { calls_before, full_ms, window: 12, window_ms: 10_000, other_calls: NO_OTHERS },
            account,
            paused_ms: 0,
        },
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
    let account = WindowUse { calls_before: 4, full_ms: 0, window: 5, window_ms: 3_000, other_calls: NO_OTHERS };
    assert_eq!(shortly(3, 0, Some(account)), nearly("4 of the 5", "account"));
    // No call, so no reason, however small the window is.
    assert_eq!(shortly(0, 0, Some(WindowUse { calls_before: 0, window: 1, ..account })), format!("{began}."));
}

fn waited(held_ms: i64, circuit_known: bool, calls_before: i64, full_ms: i64) -> String {
    with_account((held_ms, circuit_known, calls_before, full_ms), None)
}

const NO_OTHERS: OtherCalls = OtherCalls { checks: 0, drift: 0, known: true };

fn with_account(told: (i64, bool, i64, i64), account: Option<WindowUse>) -> String {
    with_others(told, NO_OTHERS, account)
}

fn with_others(
    (held_ms, circuit_known, calls_before, full_ms): (i64, bool, i64, i64),
    other_calls: OtherCalls,
    account: Option<WindowUse>,
) -> String {
    first(&FirstWait {
        ms: 9_000,
        behind_ms: 0,
        behind: Vec::new(),
        behind_silent: None,
        unheard: false,
        held_ms,
        circuit_known,
        windows: Windows {
            target: WindowUse { calls_before, full_ms, window: 12, window_ms: 10_000, other_calls },
            account,
            paused_ms: 0,
        },
    })
}

#[test]
fn a_wait_without_a_known_reason_says_what_is_not_known() {
    assert_eq!(waited(8_500, true, 0, 0), "It waited 9.0 s for its first attempt; for 8.5 s of that it was held.");
    let held = waited(4_500, true, 0, 0);
    assert!(held.contains("for 4.5 s of that it was held. What took the rest is not recorded"), "{held}");
    assert!(!held.contains("no pause"), "{held}");
    let full = "It waited 9.0 s for its first attempt; for 8.8 s of that the target's window (12 in 10 s) was full.";
    assert_eq!(waited(0, true, 12, 8_800), full);
    let rest = waited(0, true, 12, 3_000);
    assert!(rest.contains("for 3.0 s of that the target's window") && rest.contains("took the rest"), "{rest}");
    assert!(!rest.contains("had room"), "{rest}");
    let room = waited(0, true, 3, 0);
    assert!(
        room.contains("no pause and no open circuit is recorded of that time") && room.contains("at most 3 of its 12")
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
        first(&FirstWait {
            ms: 9_000,
            behind_ms,
            behind: behind.to_vec(),
            behind_silent: None,
            unheard: false,
            held_ms,
            circuit_known: true,
            windows: Windows {
                target: WindowUse { calls_before: 12, full_ms, window: 12, window_ms: 10_000, other_calls: NO_OTHERS },
                account: None,
                paused_ms: 0,
            },
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

/// Whoever had the listing up to then may have been dead for long: nobody can tell, and its time counts as none of which nothing is known.
#[test]
fn an_attempt_that_ended_without_a_word_is_told_for_what_it_took_and_what_came_after_it_for_what_that_may_be() {
    let target = WindowUse { calls_before: 1, full_ms: 0, window: 12, window_ms: 10_000, other_calls: NO_OTHERS };
    let windows = Windows { target, account: None, paused_ms: 0 };
    let dead = Uuid::from_u128(1);
    let wait = |ms: i64, behind_ms: i64, unheard: bool| FirstWait {
        ms,
        behind_ms,
        behind: if behind_ms > 0 { vec![dead] } else { Vec::new() },
        behind_silent: (behind_ms > 0).then_some(dead),
        unheard,
        held_ms: 0,
        circuit_known: true,
        windows,
    };
    let not_given_up = format!("or not given up yet: that of sync {dead} ended without a word");
    let under_way = format!("for 29.8 s of that an attempt of sync {dead} was under way");
    let began = "It waited 30.0 s for its first attempt";
    assert_eq!(first(&wait(30_000, 29_800, false)), format!("{began}; {under_way}, {not_given_up}."));
    let looks = "; a listing that was left so is looked for every 20 s";
    assert!(first(&wait(30_000, 20_000, false)).ends_with(&format!("{not_given_up}{looks}.")));
    let rest = first(&wait(60_000, 20_000, false));
    assert!(rest.contains(looks) && rest.contains("For the rest: no pause") && rest.contains(NOBODY), "{rest}");
    let unheard = first(&wait(40_000, 0, true));
    assert_eq!(unheard, format!("Its first attempt that is told began after 40.0 s{UNHEARD}"));

    let again = |ms: i64, after_silent: bool, unheard: bool| {
        again(&WaitedAgain {
            request_id: None,
            purpose: None,
            from: chrono::DateTime::UNIX_EPOCH,
            ms,
            held_ms: 0,
            after_silent,
            unheard,
            new_token: false,
            token_ms: 0,
            windows,
        })
    };
    let before = "which nobody could begin before 1970-01-01T00:00:00.000Z";
    assert_eq!(again(4_000, true, false), format!("It waited 4.0 s for its next attempt, {before}{looks}."));
    assert!(again(90_000, true, false).ends_with(&format!(", or {NOBODY}.")));
    assert!(again(90_000, false, true).ends_with(&format!("which was due 1970-01-01T00:00:00.000Z{UNHEARD}")));
}

#[test]
fn calls_of_checks_and_of_looks_for_drift_are_told_where_a_window_was_full_and_as_long_as_they_are_known() {
    let others = |checks, drift| OtherCalls { checks, drift, ..NO_OTHERS };
    let full = |others| with_others((0, true, 12, 8_800), others, None);
    assert!(full(others(1, 0)).ends_with("was full, with 1 call of health checks among those that held it."));
    let both = "was full, with 2 calls of health checks and 3 calls of looks for drift among those that held it.";
    assert!(full(others(2, 3)).ends_with(both), "{}", full(others(2, 3)));
    let window = WindowUse { calls_before: 5, full_ms: 8_800, window: 5, window_ms: 3_000, other_calls: others(0, 1) };
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
        Some(WindowUse { calls_before: 5, full_ms, window, window_ms, other_calls })
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
        after_silent: false,
        unheard: false,
        new_token,
        token_ms,
        windows: Windows {
            target: WindowUse { calls_before: 1, full_ms, window: 1, window_ms: 4_000, other_calls: NO_OTHERS },
            account: None,
            paused_ms: 0,
        },
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

#[test]
fn a_pause_that_the_channel_asked_for_is_told_beside_what_else_is_known() {
    let paused = |ms, held_ms, full_ms, paused_ms| {
        let target = WindowUse { calls_before: 11, full_ms, window: 12, window_ms: 10_000, other_calls: NO_OTHERS };
        first(&FirstWait {
            ms,
            behind_ms: 0,
            behind: Vec::new(),
            behind_silent: None,
            unheard: false,
            held_ms,
            circuit_known: true,
            windows: Windows { target, account: None, paused_ms },
        })
    };
    let told = "for 8.2 s of that the channel had asked for a pause (429 to a call of its account)";
    assert_eq!(paused(9_000, 0, 0, 8_200), format!("It waited 9.0 s for its first attempt; {told}."));
    let rest = paused(20_000, 0, 0, 8_200);
    assert!(rest.contains(&format!("{told}. For the rest: no other pause and no open circuit is recorded")), "{rest}");
    assert!(!rest.contains("had room"), "{rest}");
    // What was at the same time counts once.
    assert!(paused(9_000, 5_000, 4_000, 8_200).contains("was held; for 8.2 s"));
    assert!(paused(20_000, 8_000, 8_000, 8_200).contains("What took the rest is not recorded"));
    assert!(!paused(613, 0, 0, 600).contains("recorded calls held"));
}
