//! No process panicked, and none that was serving ended by itself.

use crate::fleet::{Ending, Life};
use crate::world::World;

pub(super) fn check(world: &World) -> Vec<String> {
    world.fleet.members().iter().flat_map(|member| member.lives()).filter_map(|life| wrong(&life)).collect()
}

fn wrong(life: &Life) -> Option<String> {
    let printed = life.printed();
    let panicked = printed.lines().find(|line| line.contains("panicked at"));
    // A start without Postgres, or at a NATS that makes no streams, ends at once, and is tried again.
    let served = printed.contains(": serving");
    match (&life.ending, panicked) {
        (_, Some(line)) => Some(format!("{} {line}", life.name)),
        (Some(Ending::ByItself(status)), None) if served => {
            let last: Vec<&str> = printed.lines().rev().take(3).collect();
            Some(format!("{} ended by itself ({status}): {last:?}", life.name))
        }
        _ => None,
    }
}
