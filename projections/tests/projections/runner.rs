//! The runner: every event once, in order, however the events are cut into batches; holes are filled.

use domain::listing::Cause;
use domain::recorded::{Position, Recorded};
use projections::Error;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use sqlx::Executor;

use crate::database::in_database;
use crate::random_history::{steps, tell};
use crate::scene::Scene;
use crate::story::{target, unit};

/// Applies all events live, in batches of `size`.
async fn apply_in_batches(scene: &Scene, events: &[Recorded], size: usize) {
    let mut previous = Position(0);
    for batch in events.chunks(size) {
        scene.runner.apply_batch(batch, previous).await.unwrap();
        previous = batch.last().unwrap().position;
    }
}

#[tokio::test]
async fn batches_of_one_and_of_many_give_the_same_rows() {
    in_database(|pool| async move {
        let mut runner = TestRunner::deterministic();
        let mut kinds = std::collections::BTreeSet::new();
        for case in 0..8 {
            let mut scene = Scene::new(pool.clone());
            pool.execute("TRUNCATE events").await.unwrap();
            let history = steps(500).new_tree(&mut runner).unwrap().current();
            tell(&mut scene.story, &history);
            scene.append().await;
            let events = scene.journal.all().await;
            kinds.extend(events.iter().map(|event| event.event.type_name()));

            scene.forget().await;
            apply_in_batches(&scene, &events, 1).await;
            let one_by_one = scene.rows().await;
            for size in [3, 50, 500] {
                scene.forget().await;
                apply_in_batches(&scene, &events, size).await;
                assert_eq!(scene.rows().await, one_by_one, "case {case}, batches of {size}");
            }
            let coverage = projections::audit_coverage(&pool).await.unwrap();
            assert_eq!((coverage.rows, coverage.missing), (coverage.jobs, 0), "case {case}");
        }
        assert_eq!(kinds.len(), 21, "every kind of event took part: {kinds:?}");
    })
    .await;
}

/// A short story: three jobs of one listing, of which two are superseded.
fn short_story(scene: &mut Scene) {
    scene.story.create_target(target(1));
    scene.story.link(target(1), &unit(1));
    for revision in 1..=3 {
        scene.story.request(target(1), &unit(1), Cause::UnitChanged, revision);
    }
}

#[tokio::test]
async fn what_was_applied_is_not_applied_again() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        short_story(&mut scene);
        scene.play().await;
        let (rows, events) = (scene.rows().await, scene.journal.all().await);
        scene.runner.apply_batch(&events, Position(0)).await.unwrap();
        scene.runner.apply_batch(&events[2..], events[1].position).await.unwrap();
        scene.runner.catch_up().await.unwrap();
        assert_eq!(scene.rows().await, rows);
        assert_eq!(scene.count("projection_checkpoints WHERE events = 5").await, 5);
    })
    .await;
}

#[tokio::test]
async fn a_hole_before_a_live_batch_is_filled_from_the_journal() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        short_story(&mut scene);
        scene.append().await;
        let events = scene.journal.all().await;
        scene.runner.apply_batch(&events[..2], Position(0)).await.unwrap();
        // The third event got lost on its way.
        scene.runner.apply_batch(&events[3..4], events[2].position).await.unwrap();
        assert_eq!(scene.count("outbound_audit").await, 3);
        let lags = scene.runner.lag().await.unwrap();
        assert!(lags.iter().all(|lag| lag.behind_events == 0 && lag.position == events[4].position), "{lags:?}");
    })
    .await;
}

#[tokio::test]
async fn a_hole_inside_a_batch_is_seen_by_the_sequence_and_filled() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        short_story(&mut scene);
        scene.append().await;
        let mut events = scene.journal.all().await;
        events.remove(3);
        scene.runner.apply_batch(&events, Position(0)).await.unwrap();
        assert_eq!(scene.count("outbound_audit").await, 3);
    })
    .await;
}

#[tokio::test]
async fn a_hole_that_the_journal_does_not_fill_is_an_error_and_keeps_nothing() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        short_story(&mut scene);
        scene.append().await;
        let events = scene.journal.all().await;
        sqlx::query("DELETE FROM events WHERE position = $1")
            .bind(events[3].position.0)
            .execute(&scene.pool)
            .await
            .unwrap();
        let failed = scene.runner.catch_up().await.unwrap_err();
        assert!(matches!(failed, Error::Hole { projection: "channel_listings", have: 2, got: 4, .. }), "{failed}");
        assert_eq!(scene.rows().await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn lag_says_how_far_each_one_is() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        short_story(&mut scene);
        scene.append().await;
        let events = scene.journal.all().await;
        let before = scene.runner.lag().await.unwrap();
        assert!(before.iter().all(|lag| lag.behind_events == 5 && lag.updated_at.is_none()), "{before:?}");
        scene.runner.apply_batch(&events[..2], Position(0)).await.unwrap();
        let after = scene.runner.lag().await.unwrap();
        let names: Vec<&str> = after.iter().map(|lag| lag.name.as_str()).collect();
        assert_eq!(names, ["channel_targets", "channel_listings", "outbound_audit", "target_health", "sync_queue"]);
        assert!(after.iter().all(|lag| lag.behind_events == 3 && lag.updated_at.is_some()), "{after:?}");
    })
    .await;
}
