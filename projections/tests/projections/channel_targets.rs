//! `channel_targets`: the row follows every event of its target.

use domain::target::{Configuration, Health, TargetCommand};
use domain::window::RateLimit;

use crate::database::in_database;
use crate::scene::Scene;
use crate::story::target;

const STATE: [&str; 5] = ["lifecycle", "lifecycle_reason", "health", "version", "created_by"];

#[tokio::test]
async fn follows_the_life_of_a_target() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let id = target(1);
        scene.story.create_target(id);
        scene.play().await;
        let state = async |scene: &Scene| scene.fields("channel_targets", "target_id", id, &STATE).await;
        assert_eq!(state(&scene).await, "active - unknown 1 ops@example.org");

        let health = Health::Healthy;
        scene.story.command_target(
            id,
            TargetCommand::ReportHealth { health, reason: "answers".to_owned(), credential_epoch: 0 },
        );
        scene.story.command_target(id, TargetCommand::Pause { reason: "audit".to_owned() });
        scene.play().await;
        assert_eq!(state(&scene).await, "paused audit healthy 3 ops@example.org");

        scene.story.command_target(id, TargetCommand::Resume);
        scene.story.command_target(id, TargetCommand::RotateCredential { credential: "env:NEXT".parse().unwrap() });
        scene.play().await;
        assert_eq!(state(&scene).await, "active - unknown 5 ops@example.org");

        scene.story.command_target(id, TargetCommand::Delete { reason: "moved".to_owned() });
        scene.play().await;
        assert_eq!(state(&scene).await, "deleted moved unknown 6 ops@example.org");
    })
    .await;
}

#[tokio::test]
async fn tells_since_when_its_address_leads_to_another_host() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let id = target(1);
        scene.story.create_target(id);
        let health = Health::Healthy;
        let answers = TargetCommand::ReportHealth { health, reason: "answers".to_owned(), credential_epoch: 0 };
        scene.story.command_target(id, answers);
        let to = |url: &str| {
            TargetCommand::Configure(Configuration { base_url: Some(url.to_owned()), ..Configuration::default() })
        };
        let fields = ["base_url", "health", "version", "(host_position = position)"];
        scene.story.command_target(id, to("https://one.example/v1"));
        scene.play().await;
        let row = scene.fields("channel_targets", "target_id", id, &fields).await;
        assert_eq!(row, "https://one.example/v1 unknown 4 true");
        scene.story.command_target(id, to("https://one.example/v2"));
        scene.play().await;
        let row = scene.fields("channel_targets", "target_id", id, &fields).await;
        assert_eq!(row, "https://one.example/v2 unknown 5 false");
    })
    .await;
}

#[tokio::test]
async fn follows_its_settings() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let id = target(1);
        scene.story.create_target(id);
        let rate_limit = RateLimit::new(30, 5_000).unwrap();
        scene.story.command_target(
            id,
            TargetCommand::Configure(Configuration { rate_limit: Some(rate_limit), ..Configuration::default() }),
        );
        let account_rate_limit = Some(Some(RateLimit::new(20, 10_000).unwrap()));
        let change = Configuration { name: Some("Chalets".to_owned()), account_rate_limit, ..Default::default() };
        scene.story.command_target(id, TargetCommand::Configure(change));
        scene.play().await;
        let fields = ["name", "requests", "window_ms", "account_requests", "account_window_ms", "credential"];
        let row = scene.fields("channel_targets", "target_id", id, &fields).await;
        assert_eq!(row, "Chalets 30 5000 20 10000 file:villas");
    })
    .await;
}
