//! `sync_queue`: latest wins, a superseding change keeps its place, lanes wake.

use domain::channel::Section;
use domain::listing::{Cause, ListingCommand};
use domain::outcome::OutcomeClass;
use domain::target::TargetCommand;
use sqlx::Executor;

use crate::database::in_database;
use crate::scene::{Scene, listing_id};
use crate::story::{sections, target, unit};

const PLACE: [&str; 4] =
    ["revision", "tries", "extract(epoch FROM rank)::bigint", "extract(epoch FROM due_at)::bigint"];

async fn place(scene: &Scene, target_number: u32) -> String {
    let id = listing_id(target(target_number), &unit(1));
    scene.fields("sync_queue", "listing_id", id, &PLACE).await
}

async fn lane(scene: &Scene, target_number: u32) -> Option<String> {
    scene.field("dispatch_wakes", "target_id", target(target_number), "extract(epoch FROM min(wake_at))::bigint").await
}

/// A target, and a linked unit whose photos alone are to be sent: recorded at seconds 0, 1 and 2.
fn photos_wanted(scene: &mut Scene) {
    scene.story.create_target(target(1));
    scene.story.link(target(1), &unit(1));
    let images = sections(&[Section::Images], 1);
    scene.story.request_sections(target(1), &unit(1), Cause::Linked, 1, images);
}

#[tokio::test]
async fn a_change_that_supersedes_keeps_the_better_place() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        photos_wanted(&mut scene);
        scene.play().await;
        assert_eq!(place(&scene, 1).await, "1 0 1800000602 1800000002");
        scene.story.request_sections(target(1), &unit(1), Cause::UnitChanged, 2, sections(&[Section::Images], 2));
        scene.play().await;
        assert_eq!(place(&scene, 1).await, "2 0 1800000602 1800000003", "it does not lose its place");
        scene.story.request(target(1), &unit(1), Cause::UnitChanged, 3);
        scene.play().await;
        assert_eq!(place(&scene, 1).await, "3 0 1800000004 1800000004", "availability goes before photos");
        assert_eq!(scene.count("sync_queue").await, 1);
        let needs = scene.field("sync_queue", "revision", 3, "needs").await;
        assert_eq!(needs.as_deref(), Some("{availability,rates,content,images}"));
    })
    .await;
}

async fn behind_since(scene: &Scene, table: &str, key: &str, id: impl ToString) -> Option<String> {
    scene.field(table, key, id, "extract(epoch FROM behind_since)::bigint").await
}

/// Since when the channel has been behind with the first unit, as the queue and as the audit tell it.
async fn told(scene: &Scene) -> (Option<String>, Option<String>) {
    let (target, unit) = (target(1), unit(1));
    let (last, ..) = scene.story.pending(target, &unit).unwrap();
    let queued = behind_since(scene, "sync_queue", "listing_id", listing_id(target, &unit)).await;
    (queued, behind_since(scene, "outbound_audit", "sync_id", last).await)
}

fn both(seconds: &str) -> (Option<String>, Option<String>) {
    (Some(seconds.to_owned()), Some(seconds.to_owned()))
}

/// The audit knows every job, and tells exactly; the queue, which has the last one alone, tells from when on it can be at the earliest.
#[tokio::test]
async fn a_change_that_supersedes_keeps_the_clock_until_the_channel_has_got_something() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        photos_wanted(&mut scene);
        let (target, unit) = (target(1), unit(1));
        let first = scene.story.pending(target, &unit).unwrap();
        let ask = |scene: &mut Scene, revision| {
            let images = sections(&[Section::Images], revision);
            scene.story.request_sections(target, &unit, Cause::UnitChanged, revision, images);
        };
        scene.play().await;
        assert_eq!(told(&scene).await, (None, None), "since its own request");
        ask(&mut scene, 2);
        scene.play().await;
        assert_eq!(told(&scene).await, both("1800000002"));
        scene.story.end(target, &unit, Some(OutcomeClass::Transient));
        ask(&mut scene, 3);
        scene.play().await;
        assert_eq!(told(&scene).await, both("1800000002"), "a failure ends nothing");

        // An attempt at the first one comes through, which was superseded twice, and then one at the last but one.
        let report = scene.story.report(first, Some(OutcomeClass::Accepted), 1);
        scene.story.command_listing(target, &unit, ListingCommand::RecordOutcome(report));
        scene.play().await;
        assert_eq!(told(&scene).await, (Some("1800000005".to_owned()), Some("1800000003".to_owned())));
        let third = scene.story.pending(target, &unit).unwrap();
        ask(&mut scene, 4);
        scene.play().await;
        let report = scene.story.report(third, Some(OutcomeClass::Accepted), 1);
        scene.story.command_listing(target, &unit, ListingCommand::RecordOutcome(report));
        scene.play().await;
        assert_eq!(told(&scene).await, (None, None), "since its own request again");
    })
    .await;
}

/// The channel is behind with nothing while what it took last is asked for once more.
#[tokio::test]
async fn a_change_back_to_what_the_channel_has_takes_over_no_clock_and_passes_none_on() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        photos_wanted(&mut scene);
        let (target, unit) = (target(1), unit(1));
        scene.story.end(target, &unit, Some(OutcomeClass::Accepted));
        // What the photos look like in each revision, from the second on: recorded at second 4 and each a second later.
        for (revision, look, since) in [
            (2, 2, (None, None)),
            (3, 3, both("1800000004")),
            (4, 1, (None, None)),
            (5, 5, (None, None)),
            (6, 6, both("1800000007")),
        ] {
            let images = sections(&[Section::Images], look);
            scene.story.request_sections(target, &unit, Cause::UnitChanged, revision, images);
            scene.play().await;
            let needs = scene.field("sync_queue", "revision", revision, "needs").await;
            assert_eq!(needs.as_deref(), Some(if look == 1 { "{}" } else { "{images}" }), "revision {revision}");
            assert_eq!(told(&scene).await, since, "revision {revision}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_deferred_job_waits_and_an_ended_one_goes() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        photos_wanted(&mut scene);
        let first = scene.story.pending(target(1), &unit(1)).unwrap();
        scene.story.end(target(1), &unit(1), Some(OutcomeClass::Transient));
        scene.play().await;
        assert_eq!(place(&scene, 1).await, "1 1 1800000602 1800000033");

        // An attempt at the older job ends after a newer one took its place: the newer one stays.
        scene.story.request_sections(target(1), &unit(1), Cause::UnitChanged, 2, sections(&[Section::Images], 2));
        let report = scene.story.report(first, Some(OutcomeClass::Accepted), 1);
        scene.story.command_listing(target(1), &unit(1), ListingCommand::RecordOutcome(report));
        scene.play().await;
        assert_eq!(place(&scene, 1).await, "2 0 1800000602 1800000004");

        scene.story.end(target(1), &unit(1), Some(OutcomeClass::Accepted));
        scene.play().await;
        assert_eq!(scene.count("sync_queue").await, 0);
    })
    .await;
}

#[tokio::test]
async fn unlinking_and_deleting_end_the_work() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        photos_wanted(&mut scene);
        for n in 2..=4 {
            scene.story.link(target(1), &unit(n));
            scene.story.request(target(1), &unit(n), Cause::Linked, 1);
        }
        scene.play().await;
        assert_eq!(scene.count("sync_queue").await, 4);
        scene.story.command_listing(target(1), &unit(1), ListingCommand::Unlink { reason: "sold".to_owned() });
        scene.play().await;
        assert_eq!(scene.count("sync_queue").await, 3);
        scene.story.command_target(target(1), TargetCommand::Delete { reason: "moved".to_owned() });
        scene.story.request(target(1), &unit(2), Cause::UnitChanged, 2);
        scene.play().await;
        assert_eq!(scene.count("sync_queue").await, 0, "nothing waits for a target that is gone");
    })
    .await;
}

#[tokio::test]
async fn work_wakes_the_lane_at_its_earliest() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        photos_wanted(&mut scene);
        scene.play().await;
        assert_eq!(lane(&scene, 1).await.as_deref(), Some("1800000002"));
        // A round has taken the wake; a deferred job wakes the lane again when it is due, a resume at once.
        scene.pool.execute("DELETE FROM dispatch_wakes").await.unwrap();
        scene.story.end(target(1), &unit(1), Some(OutcomeClass::Transient));
        scene.play().await;
        assert_eq!(lane(&scene, 1).await.as_deref(), Some("1800000033"));
        scene.pool.execute("DELETE FROM dispatch_wakes").await.unwrap();
        scene.story.command_target(target(1), TargetCommand::Pause { reason: "audit".to_owned() });
        scene.play().await;
        assert_eq!(scene.count("dispatch_wakes").await, 0);
        scene.story.command_target(target(1), TargetCommand::Resume);
        scene.play().await;
        assert_eq!(scene.count("dispatch_wakes WHERE wake_at <= clock_timestamp()").await, 1);
    })
    .await;
}
