//! Faults of one class at a time, for the time that it takes to recover from each.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::Size;
use super::faults::FaultKind;
use crate::line::{Far, Line};
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
const ROLES: [&str; 4] = ["intake", "dispatcher", "relay", "projector"];

fn both(rng: &mut StdRng, kind: fn(Who) -> FaultKind) -> Vec<FaultKind> {
    let role = *ROLES.choose(rng).expect("something to choose from");
    Who::all().filter(|who| who.role() == role).map(kind).collect()
}

/// A class, how long it lasts in milliseconds, and how its faults are drawn.
type Draw = (&'static str, (u64, u64), fn(&mut StdRng) -> Vec<FaultKind>);

const CLASSES: [Draw; 9] = [
    ("kill", (100, 1_000), |rng| both(rng, FaultKind::Kill)),
    ("stop", (2_000, 5_000), |rng| both(rng, FaultKind::Stop)),
    ("cut", (1_000, 4_000), |rng| {
        let far = if rng.random_bool(0.5) { Far::Postgres } else { Far::Nats };
        vec![FaultKind::Break(None, far, Line::Cut)]
    }),
    ("crash", (100, 2_000), |_| vec![FaultKind::CrashPostgres]),
    ("wipe", (100, 1_500), |_| vec![FaultKind::WipeNats]),
    ("fill", (1_000, 4_000), |_| vec![FaultKind::FillNats]),
    // Last, so that a seed draws the others as before.
    ("disk", (1_000, 4_000), |_| vec![FaultKind::FillDisk]),
    ("freeze-postgres", (1_000, 4_000), |_| vec![FaultKind::StopPostgres]),
    ("freeze-nats", (1_000, 4_000), |_| vec![FaultKind::StopNats]),
];

/// One of each class that is wanted.
pub(super) fn draw(rng: &mut StdRng, size: &Size) -> Vec<Recovery> {
    let mut drawn = Vec::new();
    for (class, (shortest, longest), kinds) in CLASSES {
        let (kinds, for_ms) = (kinds(rng), rng.random_range(shortest..=longest));
        if size.faults > 0 && kinds.iter().all(|kind| size.wants(*kind)) {
            drawn.push(Recovery { class, kinds, for_ms });
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn size(only: &[&str]) -> Size {
        Size { seconds: 10, units: 3, faults: 1, only: only.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn classes(only: &[&str]) -> Vec<&'static str> {
        draw(&mut StdRng::seed_from_u64(7), &size(only)).iter().map(|recovery| recovery.class).collect()
    }

    #[test]
    fn each_way_in_which_a_server_breaks_has_a_class_and_is_left_out_where_it_is_not_wanted() {
        assert_eq!(classes(&[]), CLASSES.map(|(class, ..)| class));
        assert_eq!(classes(&["fill-disk", "stop-postgres"]), ["disk", "freeze-postgres"]);
        assert_eq!(classes(&["stop-nats"]), ["freeze-nats"]);
        let none = Size { faults: 0, ..size(&[]) };
        assert!(draw(&mut StdRng::seed_from_u64(7), &none).is_empty());
    }
}
