//! Two who give a target another secret at the same time: whoever is told that it was changed meanwhile has changed nothing.

use std::fs::File;
use std::time::Duration;

use adapters::secrets::{SecretStore as _, Secrets};
use anyhow::Context as _;
use domain::ids::TargetId;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// The secret of a target that the API keeps.
async fn in_force(world: &World, target: TargetId) -> anyhow::Result<String> {
    let kept =
        Secrets::new(&world.path("secrets"), None).read(&format!("store:distribution.{target}").parse()?).await?;
    Ok(kept.current.expose_secret().to_owned())
}

fn secret(value: &str) -> Value {
    json!({ "secret": value })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_rotations_at_one_version_the_one_that_is_told_so_holds() -> anyhow::Result<()> {
    let world = World::new(&[8190]).await?;
    let target = world.target(8190, RateLimit::default()).await?;
    let services = [world.serve("api")?, world.serve("api")?];
    let one = Api::of(&services[0]).await?.as_caller(&world, ORG, None, "owner")?;
    let other = Api::of(&services[1]).await?.as_caller(&world, ORG, None, "owner")?;
    let path = format!("/api/channels/targets/{target}");
    let credential = format!("{path}/credential");
    // The first is from a place that the operator keeps to one of the API's.
    for round in 0..12 {
        let tag = one.get(&path).await?.expect(200)?.header("etag");
        let headers = [("if-match", tag.as_str())];
        let values = [format!("left-{round}"), format!("right-{round}")];
        let bodies = [secret(&values[0]), secret(&values[1])];
        // Of one process, and of two.
        let beside = if round % 2 == 0 { &other } else { &one };
        let (left, right) = tokio::join!(
            one.send(Method::POST, &credential, &headers, Some(&bodies[0])),
            beside.send(Method::POST, &credential, &headers, Some(&bodies[1]))
        );
        let statuses = [left?.status.as_u16(), right?.status.as_u16()];
        let winner = match statuses {
            [200, 412] => &values[0],
            [412, 200] => &values[1],
            _ => anyhow::bail!("round {round}: {statuses:?}"),
        };
        assert_eq!(&in_force(&world, target).await?, winner, "round {round}");
    }
    drop(services);
    world.close().await
}

/// A change of something else comes between the look at the version and the event: the store is held meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_another_change_overtakes_leaves_the_secret_that_was_there() -> anyhow::Result<()> {
    let world = World::new(&[8191]).await?;
    let target = world.target(8191, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let path = format!("/api/channels/targets/{target}");
    let credential = format!("{path}/credential");
    let tag = api.post(&credential, &secret("first")).await?.expect(200)?.header("etag");

    let held = File::options().append(true).open(world.path("secrets").join(".store/lock"))?;
    held.lock()?;
    let rotation = tokio::spawn({
        let (api, tag) = (api.clone(), tag.clone());
        async move { api.send(Method::POST, &credential, &[("if-match", &tag)], Some(&secret("late"))).await }
    });
    let turn = format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
            AND ((classid::bigint << 32) | objid::bigint) = hashtextextended('secret/{target}', 0)"
    );
    wait_until("the rotation has its turn", Duration::from_secs(20), || async {
        Ok(if world.count(&turn).await? == 1 { Ok(()) } else { Err("nobody rotates".to_owned()) })
    })
    .await?;
    // From there to the store it reads the target alone.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!rotation.is_finished(), "it waits for the store");
    let name = json!({ "name": "Another" });
    let changed = api.send(Method::PATCH, &path, &[("if-match", &tag)], Some(&name)).await?.expect(200)?;
    held.unlock()?;
    let refused = rotation.await??.expect(412)?.json();
    assert_eq!(refused["field"], json!("If-Match"), "{refused}");
    assert_eq!(in_force(&world, target).await?, "first");
    let version = changed.json()["version"].as_i64().context("a version")?;
    assert_eq!(refused["version"], json!(version), "{refused}");
    assert_eq!(world.count(&turn).await?, 0, "its turn is over");
    drop(service);
    world.close().await
}
