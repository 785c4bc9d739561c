//! The coverage figure sees a job without a row.

use domain::listing::Cause;
use projections::audit_coverage;

use crate::database::in_database;
use crate::scene::Scene;
use crate::story::{target, unit};

#[tokio::test]
async fn is_complete_and_sees_what_is_missing() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let (target, unit) = (target(1), unit(1));
        scene.story.create_target(target);
        scene.story.link(target, &unit);
        for revision in 1..=5 {
            scene.story.request(target, &unit, Cause::UnitChanged, revision);
        }
        scene.append().await;
        let before = audit_coverage(&scene.pool).await.unwrap();
        assert_eq!((before.jobs, before.rows, before.missing), (0, 0, 0), "what is not due yet is not missing");
        scene.runner.catch_up().await.unwrap();
        let full = audit_coverage(&scene.pool).await.unwrap();
        assert_eq!((full.jobs, full.rows, full.missing), (5, 5, 0));

        let (lost, ..) = scene.story.pending(target, &unit).unwrap();
        sqlx::query("DELETE FROM outbound_audit WHERE sync_id = $1").bind(lost.0).execute(&scene.pool).await.unwrap();
        let short = audit_coverage(&scene.pool).await.unwrap();
        assert_eq!((short.jobs, short.rows, short.missing), (5, 4, 1));
        assert_eq!(short.missing_sync_ids, [lost]);
    })
    .await;
}
