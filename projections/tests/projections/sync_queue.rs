//! `sync_queue`: latest wins, a superseding change keeps its place, lanes wake.

use domain::channel::Section;
use domain::ids::UnitId;
use domain::listing::{Cause, ListingCommand};
use domain::outcome::OutcomeClass;
use domain::target::TargetCommand;
use sqlx::Executor;
use uuid::Uuid;

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
        assert_eq!(told(&scene).await, both("1800000003"), "since the first request that it has not got");
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

/// Asks for so many revisions of a unit, each for another one, or by one wish that is made again.
fn ask_for(scene: &mut Scene, unit: &UnitId, revision: &mut u64, times: u64, wished: bool) {
    for _ in 0..times {
        let wish = || Cause::Manual { reason: "looks odd".to_owned(), request_id: Uuid::from_u128(9) };
        *revision += u64::from(!wished);
        let cause = if wished { wish() } else { Cause::UnitChanged };
        scene.story.request(target(1), unit, cause, *revision);
    }
}

/// The queue has the newest job alone, and the audit each of them.
#[tokio::test]
async fn the_queue_and_the_audit_tell_one_clock_whatever_is_asked_for_during_an_attempt() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        scene.story.create_target(target(1));
        for n in 0..96_u32 {
            let unit = unit(n);
            let (before, during, after) = (u64::from(n % 2), u64::from(n / 2 % 4), u64::from(n / 8 % 2));
            let end = [Some(OutcomeClass::Accepted), None, Some(OutcomeClass::Transient)][n as usize / 16 % 3];
            let mut revision = 0;
            scene.story.link(target(1), &unit);
            ask_for(&mut scene, &unit, &mut revision, 1 + before, false);
            let under_way = scene.story.pending(target(1), &unit).unwrap();
            ask_for(&mut scene, &unit, &mut revision, during, n / 48 == 1);
            let report = scene.story.report(under_way, end, 1);
            scene.story.command_listing(target(1), &unit, ListingCommand::RecordOutcome(report));
            ask_for(&mut scene, &unit, &mut revision, after, false);
        }
        let mut clocks = 0;
        for drafts in scene.story.take().chunks(5) {
            scene.journal.append(drafts).await;
            scene.runner.catch_up().await.unwrap();
            let differ: Vec<String> = sqlx::query_scalar(
                "SELECT concat_ws(' ', a.unit_id, q.ordinal, q.behind_since, a.behind_since)
                 FROM sync_queue AS q JOIN outbound_audit AS a USING (sync_id)
                 WHERE q.behind_since IS DISTINCT FROM a.behind_since",
            )
            .fetch_all(&scene.pool)
            .await
            .unwrap();
            assert!(differ.is_empty(), "{differ:?}");
            clocks += scene.count("sync_queue WHERE behind_since IS NOT NULL").await;
        }
        assert!(clocks > 0);
    })
    .await;
}

/// The audit has one row of both wishes, which the first attempt ends.
#[tokio::test]
async fn a_wish_that_is_made_again_while_it_is_under_way_passes_its_place_on() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        photos_wanted(&mut scene);
        let (target, unit) = (target(1), unit(1));
        scene.story.end(target, &unit, Some(OutcomeClass::Accepted));
        let wish = |scene: &mut Scene| {
            let cause = Cause::Manual { reason: "looks odd".to_owned(), request_id: Uuid::from_u128(9) };
            scene.story.request_sections(target, &unit, cause, 1, sections(&[Section::Images], 1));
            scene.story.pending(target, &unit).unwrap()
        };
        // Recorded at seconds 4, 5 and 7: the wish, the same again, and a change during an attempt at the second one.
        let first = wish(&mut scene);
        let second = wish(&mut scene);
        assert_eq!(first.0, second.0);
        scene.play().await;
        let came_through = |scene: &mut Scene, under_way| {
            let report = scene.story.report(under_way, Some(OutcomeClass::Accepted), 1);
            scene.story.command_listing(target, &unit, ListingCommand::RecordOutcome(report));
        };
        came_through(&mut scene, first.clone());
        scene.play().await;
        assert_eq!(told(&scene).await, (None, None), "since the second wish");
        scene.story.request_sections(target, &unit, Cause::UnitChanged, 2, sections(&[Section::Images], 2));
        scene.play().await;
        assert_eq!(told(&scene).await, both("1800000005"));
        let (last, ..) = scene.story.pending(target, &unit).unwrap();
        let standing = ["outcome", "superseded_by"];
        let row = scene.fields("outbound_audit", "sync_id", first.0, &standing).await;
        assert_eq!(row, format!("accepted {last}"), "it was accepted, and what was wished again waits no more");
        came_through(&mut scene, second);
        scene.play().await;
        assert_eq!(told(&scene).await, (None, None), "since its own request");
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
