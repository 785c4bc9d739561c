//! What Postgres does not take, and never will, is a bug and told as one; what it may do a moment later is told as that.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_never_takes_is_an_internal_error_and_a_wait_for_a_lock_is_not() -> anyhow::Result<()> {
    let world = World::new(&[8108]).await?;
    let target = world.target(8108, RateLimit::default()).await?;
    let setting = format!("ALTER DATABASE {} SET lock_timeout = '300ms'", world.database());
    sqlx::query(&setting).execute(&world.pool).await?;
    let service = world.serve("api")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let list = "/api/channels/listings";
    owner.get(list).await?.expect(200)?;

    let mut lock = world.pool.begin().await?;
    sqlx::query("LOCK TABLE channel_listings IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await?;
    let waited = owner.get(list).await?.expect(503)?;
    assert_eq!((&waited.json()["type"], waited.header("retry-after").as_str()), (&json!("/problems/unavailable"), "1"));
    lock.rollback().await?;

    // A read model and the journal as another build might have them.
    for change in [
        "ALTER TABLE channel_listings RENAME COLUMN unit_id TO unit",
        "ALTER TABLE events RENAME COLUMN event_version TO version",
    ] {
        sqlx::query(change).execute(&world.pool).await?;
    }
    let pause = format!("/api/channels/targets/{target}/pause");
    let reason = json!({ "reason": "holidays" });
    for (method, path, body) in [(Method::GET, list, None), (Method::POST, pause.as_str(), Some(&reason))] {
        let id = uuid::Uuid::now_v7().to_string();
        let refused = owner.send(method, path, &[("x-request-id", &id)], body).await?.expect(500)?;
        let told = refused.json();
        assert_eq!((&told["type"], &told["retry_after_s"]), (&json!("/problems/internal"), &json!(null)), "{told}");
        assert_eq!(refused.header("x-request-id"), id);
        assert!(!refused.text.contains("column"), "the database's words are for the log: {told}");
        let log = service.printed();
        let said = log.lines().any(|line| line.contains("ERROR") && line.contains(&id) && line.contains("column"));
        assert!(said, "{id} is not in {log}");
    }
    let (code, _, said) = world.run(&["target", "pause", &target.to_string(), "--reason", "holidays"])?;
    assert!(code == 1 && said.contains("column"), "nothing is out of reach: {code}: {said}");
    drop(service);
    world.close().await
}

/// As somebody closes one who works on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_connections_is_told_as_one_that_is_away() -> anyhow::Result<()> {
    let world = World::new(&[8117]).await?;
    let target = world.target(8117, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let (list, pause) = ("/api/channels/listings", format!("/api/channels/targets/{target}/pause"));
    let reason = json!({ "reason": "holidays" });
    owner.get(list).await?.expect(200)?;
    let elsewhere = world.pool_of("postgres").await?;
    let allow = |taken: bool| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {taken}", world.database());
    sqlx::query(&allow(false)).execute(&elsewhere).await?;
    assert!(world.cut_off().await? > 0);
    // Then no earlier connection is taken for a good one.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for (method, path, body) in [(Method::GET, list, None), (Method::POST, pause.as_str(), Some(&reason))] {
        let refused = owner.send(method, path, &[], body).await?.expect(503)?;
        let told = refused.json();
        let wanted = (&json!("/problems/unavailable"), Some(1));
        assert_eq!((&told["type"], told["retry_after_s"].as_u64()), wanted, "{told}");
    }
    let ready = owner.get("/health/ready").await?.expect(503)?;
    assert_eq!((&ready.json()["postgres"], ready.header("retry-after")), (&json!(false), "1".to_owned()));
    assert!(!service.printed().contains("a bug"), "{}", service.printed());

    sqlx::query(&allow(true)).execute(&elsewhere).await?;
    wait_until("it is ready again", Duration::from_secs(10), || async {
        let ready = owner.get("/health/ready").await?;
        Ok(if ready.status == 200 { Ok(()) } else { Err(ready.text) })
    })
    .await?;
    owner.get(list).await?.expect(200)?;
    elsewhere.close().await;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_with_a_time_that_no_list_has_is_refused_by_its_name() -> anyhow::Result<()> {
    let world = World::new(&[8109]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    // ["-200000-01-01T00:00:00Z","00000000-0000-0000-0000-000000000000"]
    let cursor = "WyItMjAwMDAwLTAxLTAxVDAwOjAwOjAwWiIsIjAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCJd";
    let refused = api.get(&format!("/api/channels/queue?cursor={cursor}")).await?.expect(400)?;
    assert_eq!(refused.json()["field"], json!("cursor"));
    drop(service);
    world.close().await
}
