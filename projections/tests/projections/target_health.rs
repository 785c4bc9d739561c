//! `target_health`: the state, what was seen last, and the history.

use domain::listing::Cause;
use domain::outcome::OutcomeClass;
use domain::target::{Health, TargetCommand};

use crate::database::in_database;
use crate::scene::Scene;
use crate::story::{target, unit};

const STATE: [&str; 4] = ["health", "reason", "consecutive_failures", "last_error"];

#[tokio::test]
async fn counts_failures_until_a_success_and_forgives_refusals() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let (target, unit) = (target(1), unit(1));
        scene.story.create_target(target);
        scene.story.link(target, &unit);
        scene.story.request(target, &unit, Cause::Linked, 1);
        for class in [OutcomeClass::Transient, OutcomeClass::Unknown, OutcomeClass::Throttled] {
            scene.story.end(target, &unit, Some(class));
        }
        scene.play().await;
        let state = async |scene: &Scene| scene.fields("target_health", "target_id", target, &STATE).await;
        assert_eq!(state(&scene).await, "unknown - 2 in words");
        scene.story.end(target, &unit, Some(OutcomeClass::Rejected));
        scene.play().await;
        assert_eq!(state(&scene).await, "unknown - 2 in words");

        scene.story.request(target, &unit, Cause::UnitChanged, 2);
        scene.story.end(target, &unit, Some(OutcomeClass::Accepted));
        scene.play().await;
        assert_eq!(state(&scene).await, "unknown - 0 in words");
        assert!(scene.field("target_health", "target_id", target, "last_success_at").await.is_some());
    })
    .await;
}

#[tokio::test]
async fn keeps_every_change() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let id = target(1);
        scene.story.create_target(id);
        let health = Health::Unauthorised;
        scene
            .story
            .command_target(id, TargetCommand::ReportHealth { health, reason: "403".to_owned(), credential_epoch: 0 });
        scene.story.command_target(id, TargetCommand::RotateCredential { credential: "env:NEXT".parse().unwrap() });
        scene.play().await;
        let history: Vec<String> = sqlx::query_scalar(
            "SELECT concat_ws(' ', from_health, to_health, reason) FROM target_health_changes ORDER BY position",
        )
        .fetch_all(&scene.pool)
        .await
        .unwrap();
        assert_eq!(history, ["unknown unauthorised 403", "unauthorised unknown the credential was rotated"]);
        let since = scene.field("target_health", "target_id", id, "extract(epoch FROM since)::bigint").await;
        assert_eq!(since.as_deref(), Some("1800000002"));
    })
    .await;
}
