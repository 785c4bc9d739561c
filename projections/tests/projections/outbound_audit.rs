//! `outbound_audit`: every job has one row, which ends once and tells the truth about what the channel took.

use domain::ids::SyncId;
use domain::listing::{Cause, ListingCommand, SyncReport};
use domain::outcome::OutcomeClass;
use domain::target::TargetCommand;
use uuid::Uuid;

use crate::database::in_database;
use crate::scene::Scene;
use crate::story::{target, unit};

const STANDING: [&str; 3] = ["outcome", "class", "attempts"];

async fn standing(scene: &Scene, job: SyncId) -> String {
    scene.fields("outbound_audit", "sync_id", job, &STANDING).await
}

async fn field(scene: &Scene, job: SyncId, field: &str) -> Option<String> {
    scene.field("outbound_audit", "sync_id", job, field).await
}

async fn calls(scene: &Scene, job: SyncId, late: bool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outbound_attempts WHERE sync_id = $1 AND late = $2")
        .bind(job.0)
        .bind(late)
        .fetch_one(&scene.pool)
        .await
        .unwrap()
}

/// A linked unit with a first sync that waits.
fn first_sync(scene: &mut Scene) -> SyncId {
    scene.story.create_target(target(1));
    scene.story.link(target(1), &unit(1));
    ask(scene, Cause::Linked, 1)
}

fn ask(scene: &mut Scene, cause: Cause, revision: u64) -> SyncId {
    scene.story.request(target(1), &unit(1), cause, revision);
    scene.story.pending(target(1), &unit(1)).unwrap().0
}

fn record(scene: &mut Scene, report: SyncReport) {
    scene.story.command_listing(target(1), &unit(1), ListingCommand::RecordOutcome(report));
}

#[tokio::test]
async fn a_job_is_followed_from_request_to_end() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let job = first_sync(&mut scene);
        scene.play().await;
        assert_eq!(standing(&scene, job).await, "pending - 0");
        let fixed = ["cause", "ordinal", "revision", "needs", "created_by", "credential", "unit_id"];
        let told = scene.fields("outbound_audit", "sync_id", job, &fixed).await;
        assert_eq!(told, "linked 1 1 {availability,rates,content,images} ops@example.org cli unit-1");

        scene.story.end(target(1), &unit(1), Some(OutcomeClass::Transient));
        scene.play().await;
        assert_eq!(standing(&scene, job).await, "pending transient 1");
        assert_eq!(field(&scene, job, "detail").await.as_deref(), Some("in words"));
        let due = field(&scene, job, "extract(epoch FROM next_attempt_at)::bigint").await;
        assert_eq!(due.as_deref(), Some("1800000033"));

        scene.story.end(target(1), &unit(1), Some(OutcomeClass::AcceptedWithRejections));
        scene.play().await;
        assert_eq!(standing(&scene, job).await, "accepted_with_rejections accepted_with_rejections 2");
        assert_eq!(field(&scene, job, "rejected -> 0 ->> 'value'").await.as_deref(), Some("moat"));
        assert_eq!(field(&scene, job, "next_attempt_at").await, None);
        assert_eq!(calls(&scene, job, false).await, 4);
    })
    .await;
}

#[tokio::test]
async fn five_attempts_end_it() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let job = first_sync(&mut scene);
        for _ in 0..5 {
            scene.story.end(target(1), &unit(1), Some(OutcomeClass::Unknown));
        }
        scene.play().await;
        assert_eq!(standing(&scene, job).await, "exhausted unknown 5");
        assert_eq!(calls(&scene, job, false).await, 10);
    })
    .await;
}

#[tokio::test]
async fn a_superseded_job_that_was_accepted_after_all_says_so() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let old = first_sync(&mut scene);
        let under_way = scene.story.pending(target(1), &unit(1)).unwrap();
        let new = ask(&mut scene, Cause::UnitChanged, 2);
        scene.play().await;
        assert_eq!(standing(&scene, old).await, "superseded - 0");
        assert_eq!(field(&scene, old, "superseded_by").await, Some(new.to_string()));

        let report = scene.story.report(under_way, Some(OutcomeClass::Accepted), 3);
        record(&mut scene, report);
        scene.play().await;
        assert_eq!(standing(&scene, old).await, "accepted accepted 1");
        assert_eq!(field(&scene, old, "superseded_by").await, Some(new.to_string()));
        assert_eq!(standing(&scene, new).await, "pending - 0");
        assert_eq!(calls(&scene, old, false).await, 3);
    })
    .await;
}

#[tokio::test]
async fn a_superseded_job_that_failed_stays_superseded_and_late_calls_are_kept() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let old = first_sync(&mut scene);
        let under_way = scene.story.pending(target(1), &unit(1)).unwrap();
        let new = ask(&mut scene, Cause::UnitChanged, 2);
        let report = scene.story.report(under_way.clone(), Some(OutcomeClass::Transient), 1);
        record(&mut scene, report);
        scene.play().await;
        assert_eq!(standing(&scene, old).await, "superseded transient 1");

        scene.story.end(target(1), &unit(1), Some(OutcomeClass::Accepted));
        let late = scene.story.report(under_way, Some(OutcomeClass::Rejected), 1);
        // The dispatcher tells it twice: it did not hear that it was recorded.
        record(&mut scene, late.clone());
        record(&mut scene, late);
        scene.play().await;
        assert_eq!(standing(&scene, old).await, "superseded transient 1");
        assert_eq!((calls(&scene, old, false).await, calls(&scene, old, true).await), (1, 1));
        assert_eq!(standing(&scene, new).await, "accepted accepted 1");
    })
    .await;
}

#[tokio::test]
async fn unlinking_and_deleting_cancel() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let unlinked = first_sync(&mut scene);
        scene.story.link(target(1), &unit(2));
        scene.story.request(target(1), &unit(2), Cause::Linked, 1);
        let (of_deleted, ..) = scene.story.pending(target(1), &unit(2)).unwrap();
        scene.story.command_listing(target(1), &unit(1), ListingCommand::Unlink { reason: "sold".to_owned() });
        scene.play().await;
        assert_eq!(standing(&scene, unlinked).await, "cancelled - 0");
        assert_eq!(field(&scene, unlinked, "detail").await.as_deref(), Some("sold"));
        assert_eq!(standing(&scene, of_deleted).await, "pending - 0");

        scene.story.command_target(target(1), TargetCommand::Delete { reason: "moved".to_owned() });
        scene.story.request(target(1), &unit(2), Cause::UnitChanged, 2);
        let (too_late, ..) = scene.story.pending(target(1), &unit(2)).unwrap();
        scene.play().await;
        assert_eq!(standing(&scene, of_deleted).await, "cancelled - 0");
        assert_eq!(field(&scene, of_deleted, "detail").await.as_deref(), Some("moved"));
        assert_eq!(standing(&scene, too_late).await, "cancelled - 0", "nothing waits for a target that is gone");

        // An attempt that was under way fails: the sync was cancelled, and still says why.
        scene.story.end(target(1), &unit(2), Some(OutcomeClass::Rejected));
        scene.play().await;
        assert_eq!(standing(&scene, too_late).await, "cancelled rejected 1");
        assert_eq!(field(&scene, too_late, "detail").await.as_deref(), Some("the target had been deleted"));
    })
    .await;
}

#[tokio::test]
async fn a_wish_made_twice_is_one_job() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        first_sync(&mut scene);
        scene.story.end(target(1), &unit(1), Some(OutcomeClass::Accepted));
        let wish = || Cause::Manual { reason: "looks odd".to_owned(), request_id: Uuid::from_u128(9) };
        let job = ask(&mut scene, wish(), 1);
        scene.play().await;
        scene.story.request(target(1), &unit(1), wish(), 1);
        scene.play().await;
        assert_eq!(standing(&scene, job).await, "pending - 0");
        assert_eq!(field(&scene, job, "reason").await.as_deref(), Some("looks odd"));
        assert_eq!(scene.count("outbound_audit").await, 2);
    })
    .await;
}
