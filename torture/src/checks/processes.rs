//! No process panicked, none that was serving ended by itself, and whoever was asked to stop did, and well.

use super::disturbances::undisturbed_us;
use crate::fleet::{Ending, Life};
use crate::world::{Disturbance, World};

/// Who is asked to stop needs no longer, in time in which nothing keeps it from that: calls take 4 s here, the API drains
/// for 3 s, and a question to a NATS that is away is given up after 12 s.
const TO_STOP_US: u64 = 45_000_000;

pub(super) fn check(world: &World) -> Vec<String> {
    let mut wrong_ones = Vec::new();
    for member in world.fleet.members() {
        let disturbances = world.disturbances_of(member.who);
        wrong_ones.extend(member.lives().iter().filter_map(|life| wrong(life, &life.printed(), &disturbances)));
    }
    wrong_ones
}

fn wrong(life: &Life, printed: &str, disturbances: &[Disturbance]) -> Option<String> {
    if let Some(line) = printed.lines().find(|line| line.contains("panicked at")) {
        return Some(format!("{} {line}", life.name));
    }
    let last = || printed.lines().rev().take(3).collect::<Vec<_>>();
    let served = printed.contains(": serving");
    match &life.ending {
        // A start without Postgres, or at a NATS that makes no streams, ends at once, and is tried again.
        Some(Ending::ByItself(status)) if served => {
            Some(format!("{} ended by itself ({status}): {:?}", life.name, last()))
        }
        // Until it serves, SIGTERM ends it as it ends any process.
        Some(Ending::Rolled { well: false }) if served => {
            Some(format!("{} was asked to stop and failed: {:?}", life.name, last()))
        }
        Some(Ending::Overdue { asked_us }) => {
            let took_us = undisturbed_us(*asked_us, life.ended_us, disturbances);
            let seconds = took_us / 1_000_000;
            let told = || format!("{} was asked to stop and went on for {seconds} s: {:?}", life.name, last());
            (took_us > TO_STOP_US).then(told)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::PathBuf;

    use super::*;

    fn life(ending: Ending) -> Life {
        let (name, log) = ("relay-1.2".to_owned(), PathBuf::new());
        Life { name, source: Ipv4Addr::LOCALHOST, ending: Some(ending), ended_us: 70_000_000, log }
    }

    #[test]
    fn a_panic_an_end_and_a_stop_that_comes_to_none_are_seen() {
        let (serving, starting) = ("INFO services::serve: serving roles=[Relay]", "ERROR no Postgres");
        let ended = life(Ending::ByItself("exit status: 1".to_owned()));
        assert!(wrong(&ended, serving, &[]).is_some_and(|told| told.contains("ended by itself")));
        assert_eq!(wrong(&ended, starting, &[]), None);
        let failed = life(Ending::Rolled { well: false });
        assert!(wrong(&failed, serving, &[]).is_some_and(|told| told.contains("failed")));
        assert_eq!(wrong(&failed, starting, &[]), None);
        for ending in [Ending::Killed, Ending::Rolled { well: true }] {
            assert_eq!(wrong(&life(ending.clone()), serving, &[]), None);
            assert!(wrong(&life(ending), "thread 'main' panicked at src/main.rs:1", &[]).is_some());
        }
    }

    #[test]
    fn a_stop_that_takes_too_long_is_seen_unless_it_was_disturbed() {
        let overdue = life(Ending::Overdue { asked_us: 10_000_000 });
        assert!(wrong(&overdue, "", &[]).is_some_and(|told| told.contains("went on for 60 s")));
        let stopped = Disturbance { who: None, began_us: 5_000_000, ended_us: 40_000_000 };
        assert_eq!(wrong(&overdue, "", &[stopped]), None);
    }
}
