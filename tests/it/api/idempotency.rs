//! A change that is asked for twice with one key is made once.

use end_to_end::api::Api;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_one_target_however_often_it_is_sent() -> anyhow::Result<()> {
    let world = World::new(&[8110]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let body = json!({ "account_id": ACCOUNT, "name": "once", "base_url": "https://api.hostaway.com/v1",
        "channel_account": "1", "secret": "a-secret" });
    let key = [("idempotency-key", "4f6f1c1e-one")];
    let path = "/api/channels/targets";
    let sent = (0..8).map(|_| api.send(Method::POST, path, &key, Some(&body)));
    let answers = futures::future::try_join_all(sent).await?;
    let made = answers.iter().filter(|answer| answer.status.as_u16() == 201).count();
    let busy = answers.iter().filter(|answer| answer.status.as_u16() == 409).count();
    assert!(made >= 1 && made + busy == 8, "{answers:?}");
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 1);
    let again = api.send(Method::POST, path, &key, Some(&body)).await?.expect(201)?;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json()["name"], json!("once"));
    assert_eq!(again.header("distribution-position"), "1");
    let scoped = api.as_caller(&world, ORG, Some("another"), "owner")?;
    scoped.send(Method::POST, path, &key, Some(&body)).await?.expect(422)?;
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 1);
    let mut other = body.clone();
    other["name"] = json!("twice");
    let reused = api.send(Method::POST, path, &key, Some(&other)).await?.expect(422)?;
    assert_eq!(reused.json()["type"], json!("/problems/idempotency-key-reused"));
    // Somebody else's key of the same text is another one.
    let elsewhere = api.as_caller(&world, "another", None, "owner")?;
    elsewhere.send(Method::POST, path, &key, Some(&other)).await?.expect(201)?;
    drop(service);
    world.close().await
}
