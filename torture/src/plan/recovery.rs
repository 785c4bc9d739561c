//! Faults of one class at a time, for the time that it takes to recover from each.

use end_to_end::proxy::Line;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::Size;
use super::faults::{FaultKind, SandboxFault, one_of};
use crate::far::Far;
use crate::who::Who;

/// Faults that come together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Their class.
    pub class: &'static str,
    /// What breaks, all of it at once.
    pub kinds: Vec<FaultKind>,
    /// How long, in milliseconds.
    pub for_ms: u64,
}

/// Whoever stands in for a process would hide what its loss costs: both of a role break.
const ROLES: [&str; 6] = ["api", "intake", "dispatcher", "relay", "projector", "health"];

fn both(rng: &mut StdRng, kind: fn(Who) -> FaultKind) -> Vec<FaultKind> {
    let role = one_of(&ROLES, rng);
    Who::all().filter(|who| who.role() == role).map(kind).collect()
}

/// All lines to one server.
fn lines(rng: &mut StdRng, line: Line) -> Vec<FaultKind> {
    let far = if rng.random_bool(0.5) { Far::Postgres } else { Far::Nats };
    vec![FaultKind::Break(None, far, line)]
}

fn slow(rng: &mut StdRng) -> Line {
    Line::Slow { ms: rng.random_range(100..=1_000) }
}

/// All lines of all dispatchers: nobody else calls the channel.
fn lines_to_the_channel(rng: &mut StdRng) -> Vec<FaultKind> {
    let lines = [Line::Cut, Line::Silent, slow(rng)];
    vec![FaultKind::Break(None, Far::Channel, one_of(&lines, rng))]
}

/// For every call. Tokens are not forgotten: with each new one forgotten, too, a sync ends as unauthorised, and waits for somebody.
fn channel(rng: &mut StdRng) -> Vec<FaultKind> {
    use SandboxFault::{Closes, Fails, Garbles, Hangs, IsSlow, LosesAnswers, Throttles};
    let fault = one_of(&[Throttles, Fails, Hangs, LosesAnswers, Closes, Garbles, IsSlow], rng);
    vec![FaultKind::Sandbox(fault, 100)]
}

/// A class, how long it lasts in milliseconds, and how its faults are drawn.
type Draw = (&'static str, (u64, u64), fn(&mut StdRng) -> Vec<FaultKind>);

const CLASSES: [Draw; 16] = [
    ("kill", (100, 1_000), |rng| both(rng, FaultKind::Kill)),
    ("stop", (2_000, 5_000), |rng| both(rng, FaultKind::Stop)),
    ("roll", (100, 1_000), |rng| both(rng, FaultKind::Roll)),
    ("cut", (1_000, 4_000), |rng| lines(rng, Line::Cut)),
    ("silent", (1_000, 4_000), |rng| lines(rng, Line::Silent)),
    ("slow", (1_000, 4_000), |rng| {
        let line = slow(rng);
        lines(rng, line)
    }),
    ("crash", (100, 2_000), |_| vec![FaultKind::CrashPostgres]),
    ("restart", (100, 2_000), |_| vec![FaultKind::RestartPostgres]),
    ("kill-nats", (100, 2_000), |_| vec![FaultKind::KillNats]),
    ("wipe", (100, 1_500), |_| vec![FaultKind::WipeNats]),
    ("fill", (1_000, 4_000), |_| vec![FaultKind::FillNats]),
    ("disk", (1_000, 4_000), |_| vec![FaultKind::FillDisk]),
    ("freeze-postgres", (1_000, 4_000), |_| vec![FaultKind::StopPostgres]),
    ("freeze-nats", (1_000, 4_000), |_| vec![FaultKind::StopNats]),
    // Long enough to meet calls, and short enough for a sync to have attempts left.
    ("channel-line", (1_500, 3_000), lines_to_the_channel),
    ("channel", (1_500, 3_000), channel),
];

/// Each takes some seconds, so a run has no more than these; runs of other seeds have the others.
const MOST: usize = 8;
/// Of a class with many forms one alone may be wanted.
const DRAWS_OF_A_CLASS: usize = 100;

/// One of each class that is wanted, of more than `MOST` those that are drawn.
pub(super) fn draw(rng: &mut StdRng, size: &Size) -> Vec<Recovery> {
    let mut drawn = Vec::new();
    let is_wanted = |kinds: &Vec<FaultKind>| size.faults > 0 && kinds.iter().all(|kind| size.wants(*kind));
    for (class, (shortest, longest), form) in CLASSES {
        let kinds = (0..DRAWS_OF_A_CLASS).map(|_| form(rng)).find(is_wanted);
        let Some(kinds) = kinds else { continue };
        drawn.push(Recovery { class, kinds, for_ms: rng.random_range(shortest..=longest) });
    }
    while drawn.len() > MOST {
        drawn.remove(rng.random_range(0..drawn.len()));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;

    use super::*;

    fn size(only: &[&str]) -> Size {
        Size { seconds: 10, units: 3, faults: 1, only: only.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn drawn(seed: u64, only: &[&str]) -> Vec<Recovery> {
        draw(&mut StdRng::seed_from_u64(seed), &size(only))
    }

    fn classes(only: &[&str]) -> Vec<&'static str> {
        drawn(7, only).iter().map(|recovery| recovery.class).collect()
    }

    #[test]
    fn every_class_and_every_role_has_its_turn_in_some_run_and_no_run_is_long() {
        let runs: Vec<Vec<Recovery>> = (0..300).map(|seed| drawn(seed, &[])).collect();
        assert!(runs.iter().all(|run| run.len() == MOST));
        let seen: BTreeSet<&str> = runs.iter().flatten().map(|recovery| recovery.class).collect();
        assert_eq!(seen, BTreeSet::from(CLASSES.map(|(class, ..)| class)));
        let kinds = runs.iter().flatten().flat_map(|recovery| &recovery.kinds);
        let names: BTreeSet<String> = kinds.map(|kind| kind.name()).collect();
        for way in ["kill", "stop", "roll"] {
            assert!(ROLES.iter().all(|role| names.contains(&format!("{way}-{role}"))), "{names:?}");
        }
        let never: Vec<String> = FaultKind::names().into_iter().filter(|name| !names.contains(name)).collect();
        assert_eq!(never, ["channel-forgets-tokens"], "every other fault has a class");
    }

    #[test]
    fn what_is_not_wanted_is_left_out_and_of_a_class_the_form_that_is() {
        assert_eq!(classes(&["fill-disk", "stop-postgres"]), ["disk", "freeze-postgres"]);
        assert_eq!(classes(&["stop-nats"]), ["freeze-nats"]);
        assert_eq!(classes(&["roll", "slow", "silent"]), ["roll", "silent", "slow", "channel-line"]);
        let roll = drawn(7, &["roll-api"]);
        assert!(roll.len() == 1 && roll[0].kinds.iter().all(|kind| kind.name() == "roll-api"), "{roll:?}");
        let none = Size { faults: 0, ..size(&[]) };
        assert!(draw(&mut StdRng::seed_from_u64(7), &none).is_empty());
    }
}
