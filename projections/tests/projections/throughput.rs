//! How fast the projections are. A measurement, not a check for every run: it means something in release mode only, and
//! on a machine that does nothing else.

use std::time::Instant;

use domain::listing::Cause;
use domain::outcome::OutcomeClass;
use domain::recorded::{Position, Recorded};
use projections::{Runner, all};

use crate::database::in_database;
use crate::scene::Scene;
use crate::story::{target, unit};

const TARGETS: u32 = 20;
const LISTINGS: u32 = 2_000;
const REVISIONS: u64 = 10;

/// Well below what was measured (5,500 to 10,600 on two cores that did other work as well): less than this means that
/// something is done per event which was done per batch, or that a plan scans a table.
const LEAST_EVENTS_PER_S: f64 = 2_000.0;

/// Every revision of every unit: asked for, and accepted by an attempt of two calls.
async fn busy_scene(scene: &mut Scene) -> Vec<Recorded> {
    for n in 0..TARGETS {
        scene.story.create_target(target(n));
    }
    for n in 0..LISTINGS {
        scene.story.link(target(n % TARGETS), &unit(n));
    }
    for revision in 1..=REVISIONS {
        for n in 0..LISTINGS {
            scene.story.request(target(n % TARGETS), &unit(n), Cause::UnitChanged, revision);
        }
        for n in 0..LISTINGS {
            scene.story.end(target(n % TARGETS), &unit(n), Some(OutcomeClass::Accepted));
        }
        scene.append().await;
    }
    scene.journal.all().await
}

async fn events_per_s(runner: &Runner, events: &[Recorded]) -> f64 {
    let mut previous = Position(0);
    let started = Instant::now();
    for batch in events.chunks(1_000) {
        runner.apply_batch(batch, previous).await.unwrap();
        previous = batch.last().unwrap().position;
    }
    f64::from(u32::try_from(events.len()).unwrap()) / started.elapsed().as_secs_f64()
}

#[tokio::test]
#[ignore = "a measurement: cargo test --release -p projections -- --ignored --nocapture"]
async fn heavy_events_per_second() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let events = busy_scene(&mut scene).await;
        for projection in all() {
            let name = projection.name();
            let alone = Runner::new(scene.pool.clone(), scene.journal.clone(), vec![projection]);
            println!("{name:>18} {:>8.0} events/s", events_per_s(&alone, &events).await);
        }
        scene.forget().await;
        let together = events_per_s(&scene.runner, &events).await;
        println!("{:>18} {together:>8.0} events/s", "together");
        assert!(together > LEAST_EVENTS_PER_S, "{together:.0} events/s");
    })
    .await;
}
