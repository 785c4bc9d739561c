//! `sync_activity`: what happened in each minute, told by events alone.

use domain::listing::{Cause, ListingCommand};
use domain::outcome::OutcomeClass;
use domain::target::TargetCommand;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::database::in_database;
use crate::random_history::{steps, tell};
use crate::scene::Scene;
use crate::story::{target, unit};

async fn sums(scene: &Scene, columns: &[&str]) -> Vec<i64> {
    let sums: Vec<String> = columns.iter().map(|column| format!("coalesce(sum({column}), 0)::bigint")).collect();
    sqlx::query_scalar(&format!("SELECT unnest(ARRAY[{}]) FROM sync_activity", sums.join(", ")))
        .fetch_all(&scene.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn counts_requests_ends_times_and_calls() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let (target, unit) = (target(1), unit(1));
        scene.story.create_target(target);
        scene.story.link(target, &unit);
        scene.story.request(target, &unit, Cause::Linked, 1);
        scene.story.end(target, &unit, Some(OutcomeClass::Accepted));
        scene.play().await;
        scene.story.request(target, &unit, Cause::UnitChanged, 2);
        scene.story.request(target, &unit, Cause::UnitChanged, 3);
        scene.story.end(target, &unit, Some(OutcomeClass::Throttled));
        scene.play().await;
        for _ in 0..5 {
            scene.story.end(target, &unit, Some(OutcomeClass::Transient));
        }
        scene.story.request(target, &unit, Cause::UnitChanged, 4);
        scene.story.command_target(target, TargetCommand::Delete { reason: "gone".to_owned() });
        scene.play().await;
        let columns = ["requested", "accepted", "superseded", "failed", "cancelled", "finished", "within_5_min"];
        assert_eq!(sums(&scene, &columns).await, [4, 1, 1, 1, 1, 2, 1]);
        // Two calls for each of the seven attempts, of which five failed.
        assert_eq!(sums(&scene, &["calls", "call_errors"]).await, [14, 10]);
        // The first was accepted 0.8 s after its request, the one that failed ended 6.8 s after that of the one whose place it took.
        assert_eq!(sums(&scene, &["total_ms", "longest_ms"]).await, [7_600, 6_800]);
    })
    .await;
}

#[tokio::test]
async fn a_sync_that_takes_long_is_not_within_five_minutes() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let (target, slow, other) = (target(1), unit(1), unit(2));
        scene.story.create_target(target);
        scene.story.link(target, &slow);
        scene.story.link(target, &other);
        scene.story.request(target, &slow, Cause::Linked, 1);
        // Each event of a story is a second after the one before.
        for _ in 0..200 {
            scene.story.command_listing(target, &other, ListingCommand::Pause { reason: "time".to_owned() });
            scene.story.command_listing(target, &other, ListingCommand::Resume);
        }
        scene.story.end(target, &slow, Some(OutcomeClass::Accepted));
        scene.play().await;
        assert_eq!(sums(&scene, &["accepted", "finished", "within_5_min"]).await, [1, 1, 0]);
        let minutes: Vec<String> = sqlx::query_scalar(
            "SELECT to_char(minute AT TIME ZONE 'UTC', 'HH24:MI') || ' ' || requested || ' ' || accepted
             FROM sync_activity ORDER BY minute",
        )
        .fetch_all(&scene.pool)
        .await
        .unwrap();
        assert_eq!(minutes, ["08:00 1 0", "08:06 0 1"]);
    })
    .await;
}

#[tokio::test]
async fn a_change_that_supersedes_counts_from_the_first_one_that_the_channel_has_not_got() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let (target, unit) = (target(1), unit(1));
        scene.story.create_target(target);
        scene.story.link(target, &unit);
        // Each a second after the one before.
        for revision in 1..=400 {
            scene.story.request(target, &unit, Cause::UnitChanged, revision);
        }
        scene.story.end(target, &unit, Some(OutcomeClass::Accepted));
        scene.play().await;
        assert_eq!(sums(&scene, &["superseded", "accepted", "within_5_min"]).await, [399, 1, 0]);
        assert_eq!(sums(&scene, &["total_ms", "longest_ms"]).await, [399_800, 399_800]);

        // An attempt that comes through after its job was superseded: what was asked for since counts from there.
        scene.story.request(target, &unit, Cause::UnitChanged, 401);
        let under_way = scene.story.pending(target, &unit).unwrap();
        for revision in 402..=800 {
            scene.story.request(target, &unit, Cause::UnitChanged, revision);
        }
        let report = scene.story.report(under_way, Some(OutcomeClass::Accepted), 1);
        scene.story.request(target, &unit, Cause::UnitChanged, 801);
        scene.story.command_listing(target, &unit, ListingCommand::RecordOutcome(report));
        scene.play().await;
        assert_eq!(sums(&scene, &["accepted", "within_5_min"]).await, [2, 0]);
        scene.story.end(target, &unit, Some(OutcomeClass::Accepted));
        scene.play().await;
        assert_eq!(sums(&scene, &["accepted", "within_5_min"]).await, [3, 0], "402 was asked for 400 s before");

        scene.story.request(target, &unit, Cause::UnitChanged, 802);
        scene.story.end(target, &unit, Some(OutcomeClass::Accepted));
        scene.play().await;
        assert_eq!(sums(&scene, &["accepted", "within_5_min"]).await, [4, 1]);
    })
    .await;
}

#[tokio::test]
async fn agrees_with_the_audit_after_any_history() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let history = steps(1_500).new_tree(&mut TestRunner::deterministic()).unwrap().current();
        tell(&mut scene.story, &history);
        scene.play().await;
        let calls = [scene.count("outbound_attempts").await];
        assert_eq!(sums(&scene, &["calls"]).await, calls);
        let asked = scene.count("events WHERE event_type IN ('SyncRequested', 'SyncSkipped')").await;
        assert_eq!(sums(&scene, &["requested"]).await, [asked]);
        let accepted = scene.count("events WHERE event_type = 'SyncAccepted'").await;
        let failed = scene.count("events WHERE event_type = 'SyncFailed'").await;
        let told = sums(&scene, &["accepted", "finished"]).await;
        assert_eq!(told[0], accepted);
        assert!(told[1] > accepted && told[1] <= accepted + failed, "{told:?} of {failed} failures");
        // What waits is what was asked for without what has ended, each once.
        let columns = ["requested", "accepted", "skipped", "superseded", "failed", "cancelled", "ended_again"];
        let told = sums(&scene, &columns).await;
        let waits = scene.count("outbound_audit WHERE outcome = 'pending'").await;
        assert_eq!(told[0] - told[1..6].iter().sum::<i64>() + told[6], waits, "{told:?}");
        assert!(told[6] > 0, "the history has jobs that ended twice");
    })
    .await;
}
