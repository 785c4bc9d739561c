//! What people and services do meanwhile: a unit's changes, links and syncs, a target's pauses. Each step is allowed
//! where it stands, so that a refusal is a fault of the service.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::{ORGS, PLACES, Size};
use crate::unit::Change;

/// A step of a unit; the numbers are those of `PLACES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitStep {
    /// The next revision.
    Publish(Change),
    /// Onto a target.
    Link(usize),
    /// Off a target.
    Unlink(usize),
    /// All of it once more.
    Sync(usize),
    /// A state of the past once more: that of an ended sync, counted from the newest one.
    Retry(usize, usize),
    /// Its syncs are held.
    Pause(usize),
    /// And go on.
    Resume(usize),
}

/// What is done with a unit.
#[derive(Debug, Clone)]
pub struct UnitPlan {
    /// Which of `ORGS` it belongs to.
    pub org: usize,
    /// Its number.
    pub number: usize,
    /// Steps with their times in milliseconds, in order.
    pub steps: Vec<(u64, UnitStep)>,
}

impl UnitPlan {
    /// Its name, which tells its organisation.
    pub fn unit_id(&self) -> String {
        format!("{}-villa-{:04}", ORGS[self.org], self.number)
    }
}

/// A step of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetStep {
    /// Its syncs are held.
    Pause,
    /// And go on.
    Resume,
}

/// What is done with a target.
#[derive(Debug, Clone)]
pub struct TargetPlan {
    /// Steps with their times in milliseconds, in order.
    pub steps: Vec<(u64, TargetStep)>,
}

/// From how many ended syncs one is chosen to be retried.
const PAST: usize = 4;

/// How a listing stands while steps are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Apart,
    Linked,
    Paused,
}

pub(super) fn draw_units(rng: &mut StdRng, size: &Size) -> Vec<UnitPlan> {
    let count = usize::try_from(size.units).unwrap_or(usize::MAX);
    (0..count).map(|number| draw_unit(rng, number, size.seconds * 1_000)).collect()
}

fn draw_unit(rng: &mut StdRng, number: usize, end_ms: u64) -> UnitPlan {
    let org = number % ORGS.len();
    let places: Vec<usize> = (0..PLACES.len()).filter(|place| PLACES[*place].org == org).collect();
    let mut stands = vec![Stands::Apart; PLACES.len()];
    // Where the channel has a state of the past, until a sync.
    let mut past = vec![false; PLACES.len()];
    let first = rng.random_range(0..end_ms / 3);
    let mut steps = vec![(first, UnitStep::Publish(Change::Text))];
    let mut at_ms = first;
    // Some are linked before they were ever published.
    let place = pick(&places, rng);
    let linked_at = if rng.random_bool(0.2) { first.saturating_sub(500) } else { first + rng.random_range(0..1_500) };
    steps.push((linked_at, UnitStep::Link(place)));
    stands[place] = Stands::Linked;
    at_ms = at_ms.max(linked_at);
    loop {
        at_ms += rng.random_range(200..end_ms / 3 + 400);
        if at_ms >= end_ms {
            break;
        }
        let place = pick(&places, rng);
        let step = match (rng.random_range(0..100), stands[place]) {
            (0..60, _) => UnitStep::Publish(pick(&Change::ALL, rng)),
            (_, Stands::Apart) => UnitStep::Link(place),
            (_, Stands::Paused) => UnitStep::Resume(place),
            (60..70, Stands::Linked) => UnitStep::Sync(place),
            (70..78, Stands::Linked) => UnitStep::Retry(place, rng.random_range(0..PAST)),
            (78..89, Stands::Linked) => UnitStep::Pause(place),
            (_, Stands::Linked) => UnitStep::Unlink(place),
        };
        stands[place] = match step {
            UnitStep::Link(_) | UnitStep::Resume(_) => Stands::Linked,
            UnitStep::Pause(_) => Stands::Paused,
            UnitStep::Unlink(_) => Stands::Apart,
            UnitStep::Publish(_) | UnitStep::Sync(_) | UnitStep::Retry(..) => stands[place],
        };
        match step {
            UnitStep::Sync(place) => past[place] = false,
            UnitStep::Retry(place, _) => past[place] = true,
            // A revision may be lost, with NATS, before it is taken in.
            UnitStep::Publish(_)
            | UnitStep::Link(_)
            | UnitStep::Unlink(_)
            | UnitStep::Pause(_)
            | UnitStep::Resume(_) => {}
        }
        steps.push((at_ms, step));
    }
    let held = (0..stands.len()).filter(|place| stands[*place] == Stands::Paused);
    steps.extend(held.map(|place| (end_ms, UnitStep::Resume(place))));
    // In the end the channel has the newest state everywhere.
    let back = (0..stands.len()).filter(|place| past[*place] && stands[*place] != Stands::Apart);
    steps.extend(back.map(|place| (end_ms, UnitStep::Sync(place))));
    steps.sort_by_key(|(at_ms, _)| *at_ms);
    UnitPlan { org, number, steps }
}

fn pick<T: Copy>(items: &[T], rng: &mut StdRng) -> T {
    *items.choose(rng).expect("something to choose from")
}

pub(super) fn draw_targets(rng: &mut StdRng, size: &Size) -> Vec<TargetPlan> {
    let end_ms = size.seconds * 1_000;
    let draw = |_| {
        let mut steps = Vec::new();
        let mut at_ms = 0;
        loop {
            at_ms += rng.random_range(4_000..20_000);
            let until_ms = at_ms + rng.random_range(300..4_000);
            if until_ms >= end_ms {
                return TargetPlan { steps };
            }
            steps.extend([(at_ms, TargetStep::Pause), (until_ms, TargetStep::Resume)]);
            at_ms = until_ms;
        }
    };
    (0..PLACES.len()).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn after_a_state_of_the_past_comes_the_newest_one_wherever_a_unit_is_linked_in_the_end() {
        let size = Size { seconds: 30, units: 60, faults: 0, only: Vec::new() };
        let mut retries = 0;
        for seed in 0..10 {
            for unit in draw_units(&mut StdRng::seed_from_u64(seed), &size) {
                let mut past = [false; PLACES.len()];
                for (_, step) in unit.steps {
                    match step {
                        UnitStep::Sync(place) | UnitStep::Unlink(place) => past[place] = false,
                        UnitStep::Retry(place, _) => {
                            past[place] = true;
                            retries += 1;
                        }
                        UnitStep::Publish(_) | UnitStep::Link(_) | UnitStep::Pause(_) | UnitStep::Resume(_) => {}
                    }
                }
                assert!(!past.contains(&true), "unit {} of seed {seed}", unit.number);
            }
        }
        assert!(retries > 100, "{retries} retries of 600 units");
    }
}
