//! The runner: every event once, in order, however the events are cut into batches; holes are filled.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::journal::{EventLog, JournalUnreadable};
use domain::listing::{Cause, ListingCommand};
use domain::outcome::{OutcomeClass, SyncOutcome};
use domain::recorded::{Position, Recorded};
use domain::target::TargetCommand;
use projections::{Ended, Error, Runner, all};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use sqlx::Executor;
use uuid::Uuid;

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
async fn each_end_of_a_job_is_told_once_and_a_second_one_as_that() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let told = Arc::new(Mutex::new(Vec::<Ended>::new()));
        let keep = told.clone();
        let observed = scene.runner.observed_by(Arc::new(move |ended| keep.lock().unwrap().extend_from_slice(ended)));
        scene.runner = observed;
        scene.story.create_target(target(1));
        for n in 1..=2 {
            scene.story.link(target(1), &unit(n));
            scene.story.request(target(1), &unit(n), Cause::Linked, 1);
        }
        // Its place is taken while its attempt is under way, which comes through.
        let under_way = scene.story.pending(target(1), &unit(1)).unwrap();
        let report = scene.story.report(under_way, Some(OutcomeClass::Accepted), 1);
        scene.story.request(target(1), &unit(1), Cause::UnitChanged, 2);
        scene.play().await;
        scene.story.command_listing(target(1), &unit(1), ListingCommand::RecordOutcome(report));
        // What waits ends with its listing, or with its target.
        scene.story.command_listing(target(1), &unit(2), ListingCommand::Unlink { reason: "sold".to_owned() });
        scene.story.command_target(target(1), TargetCommand::Delete { reason: "gone".to_owned() });
        scene.play().await;

        let ends = || told.lock().unwrap().iter().map(|end| (end.outcome, end.again)).collect::<Vec<_>>();
        let expected = [
            (SyncOutcome::Superseded, false),
            (SyncOutcome::Accepted, true),
            (SyncOutcome::Cancelled, false),
            (SyncOutcome::Cancelled, false),
        ];
        assert_eq!(ends(), expected);
        let events = scene.journal.all().await;
        scene.runner.apply_batch(&events, Position(0)).await.unwrap();
        assert_eq!(ends(), expected, "what was applied is not told again");
        // A read model that is filled once more, while the others are far ahead.
        let rows = scene.rows().await;
        let again = "TRUNCATE outbound_audit, outbound_attempts, sync_activity;
            UPDATE projection_checkpoints SET position = 0 WHERE name = 'outbound_audit'";
        scene.pool.execute(again).await.unwrap();
        scene.runner.catch_up().await.unwrap();
        assert_eq!((scene.rows().await, ends()), (rows, expected.to_vec()), "what is filled again is not told again");
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

/// The messages of it came by another way, or it was read where it was still.
#[tokio::test]
async fn what_the_journal_lost_is_in_no_read_model_however_it_comes() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        short_story(&mut scene);
        scene.append().await;
        let events = scene.journal.all().await;
        let lose = "DELETE FROM events WHERE position = (SELECT max(position) FROM events)";
        scene.pool.execute(lose).await.unwrap();

        let stale = Runner::new(scene.pool.clone(), Arc::new(AsItWas(events.clone())), all());
        let failed = stale.catch_up().await.unwrap_err();
        assert!(matches!(failed, Error::Lost { position } if position == events[4].position.0), "{failed}");
        assert_eq!(scene.rows().await, Vec::<String>::new());

        let reached = scene.runner.apply_batch(&events, Position(0)).await.unwrap();
        assert_eq!((reached, scene.count("outbound_audit").await), (events[3].position, 2));
        let rows = scene.rows().await;
        let reached = scene.runner.apply_batch(&events[4..], events[3].position).await.unwrap();
        assert_eq!((reached, scene.rows().await), (events[3].position, rows), "the checkpoint stays before it, too");
        let lags = scene.runner.lag().await.unwrap();
        assert!(lags.iter().all(|lag| lag.position == events[3].position), "{lags:?}");
        // Beside another event of its position.
        let other = Recorded { event_id: Uuid::now_v7(), ..events[3].clone() };
        scene.forget().await;
        scene.runner.apply_batch(&events[..3], Position(0)).await.unwrap();
        let reached = scene.runner.apply_batch(&[other], events[2].position).await.unwrap();
        assert_eq!(reached, events[3].position, "what is there is applied");
        assert_eq!(scene.count("outbound_audit").await, 2);
    })
    .await;
}

/// A server whose place another one has taken.
struct AsItWas(Vec<Recorded>);

#[async_trait]
impl EventLog for AsItWas {
    async fn settled(&self) -> Result<Position, JournalUnreadable> {
        Ok(self.0.last().map_or(Position(0), |event| event.position))
    }

    async fn read(
        &self,
        _: Option<&[&str]>,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, JournalUnreadable> {
        let asked = self.0.iter().filter(|event| event.position > after && event.position <= up_to);
        Ok(asked.take(limit).cloned().collect())
    }
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
