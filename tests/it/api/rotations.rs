//! Two who give a target another secret at the same time, at whatever door: whoever is told that it was changed meanwhile has changed
//! nothing.

use std::fs::File;
use std::time::{Duration, Instant};

use adapters::secrets::{SecretStore as _, Secrets};
use anyhow::Context as _;
use domain::ids::TargetId;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

/// The secret of a target that the API keeps, and the previous one.
async fn kept(world: &World, target: TargetId) -> anyhow::Result<(String, Option<String>)> {
    let kept =
        Secrets::new(&world.path("secrets"), None).read(&format!("store:distribution.{target}").parse()?).await?;
    let shown = |value: SecretString| value.expose_secret().to_owned();
    Ok((shown(kept.current), kept.previous.map(shown)))
}

/// The lock of a target whose secret is being put there, granted.
fn turn(target: TargetId) -> String {
    format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
            AND ((classid::bigint << 32) | objid::bigint) = hashtextextended('secret/{target}', 0)"
    )
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
        assert_eq!(&kept(&world, target).await?.0, winner, "round {round}");
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
    let turn = turn(target);
    wait_until("the rotation has its turn", Duration::from_secs(20), || async {
        Ok(if world.count(&turn).await? == 1 { Ok(()) } else { Err("nobody rotates".to_owned()) })
    })
    .await?;
    // From there to the store it reads the target alone. Whether it had by then, the previous value tells.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!rotation.is_finished(), "it waits for the store");
    let name = json!({ "name": "Another" });
    let changed = api.send(Method::PATCH, &path, &[("if-match", &tag)], Some(&name)).await?.expect(200)?;
    held.unlock()?;
    let refused = rotation.await??.expect(412)?.json();
    assert_eq!(refused["field"], json!("If-Match"), "{refused}");
    let kept = kept(&world, target).await?;
    assert_eq!(kept, ("first".to_owned(), Some("late".to_owned())), "it was put there and taken back");
    let version = changed.json()["version"].as_i64().context("a version")?;
    assert_eq!(refused["version"], json!(version), "{refused}");
    assert_eq!(world.count(&turn).await?, 0, "its turn is over");
    drop(service);
    world.close().await
}

/// What is put there in somebody else's turn could be lost when that one takes its own back.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_waits_for_its_turn_at_a_secret_and_puts_nothing_there_without() -> anyhow::Result<()> {
    let world = World::new(&[8193]).await?;
    let target = world.target(8193, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    api.post(&format!("/api/channels/targets/{target}/credential"), &secret("first")).await?.expect(200)?;
    let (own, file) = (format!("store:distribution.{target}"), world.path("value"));
    std::fs::write(&file, "by hand")?;
    let file = file.to_str().context("a path")?;
    let put = |what, name| ["secret", what, name, "--from-file", file];
    let target_id = target.to_string();
    let rotate = ["target", "rotate-credential", target_id.as_str(), "--secret-ref", "file:hostaway-8193"];

    let mut somebody = world.pool.begin().await?;
    let lock = format!("SELECT pg_advisory_xact_lock(hashtextextended('secret/{target}', 0))");
    sqlx::query(&lock).execute(&mut *somebody).await?;
    for arguments in [&put("rotate", &own)[..], &rotate, &["secret", "delete", &own]] {
        let asked = Instant::now();
        let (code, _, said) = world.run(arguments)?;
        assert!(code == 1 && said.contains("another secret is being put there; try again"), "{arguments:?}: {said}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    }
    assert_eq!(kept(&world, target).await?.0, "first");
    let rotated = "SELECT count(*) FROM events WHERE event_type = 'CredentialRotated'";
    assert_eq!(world.count(rotated).await?, 1, "nothing was changed");
    // What the API puts nothing in the place of has no turns.
    for what in ["put", "rotate"] {
        assert_eq!(world.run(&put(what, "by-hand"))?.0, 0, "{what}");
    }
    somebody.rollback().await?;

    assert_eq!(world.run(&put("rotate", &own))?.0, 0);
    assert_eq!(kept(&world, target).await?, ("by hand".to_owned(), Some("first".to_owned())));
    assert_eq!(world.run(&rotate)?.0, 0);
    assert_eq!((world.count(rotated).await?, world.count(&turn(target)).await?), (2, 0), "its turn is over");
    drop(service);
    world.close().await
}

/// A keeper that does not answer: who holds a turn holds it however long that takes, and nobody waits for one for long.
#[tokio::test(flavor = "multi_thread")]
async fn rotations_that_wait_for_their_store_keep_their_turns_and_others_are_told_to_try_again() -> anyhow::Result<()> {
    let world = World::new(&[8192]).await?;
    let services = [world.serve("api")?, world.serve("api")?];
    let api = Api::of(&services[0]).await?.as_caller(&world, ORG, None, "owner")?;
    let other = Api::of(&services[1]).await?.as_caller(&world, ORG, None, "owner")?;
    let mut targets = Vec::new();
    for _ in 0..5 {
        targets.push(world.target(8192, RateLimit::default()).await?);
    }
    let credential = |target: TargetId| format!("/api/channels/targets/{target}/credential");
    // The first secret makes the store.
    for target in &targets {
        api.post(&credential(*target), &secret("first")).await?.expect(200)?;
    }
    let held = File::options().append(true).open(world.path("secrets").join(".store/lock"))?;
    held.lock()?;
    let (late, four) = targets.split_last().context("there are five")?;
    for target in four {
        let (api, path) = (api.clone(), credential(*target));
        tokio::spawn(async move { api.post(&path, &secret("second")).await });
    }
    let hold = async || -> anyhow::Result<i64> {
        let mut hold = 0;
        for target in four {
            hold += world.count(&turn(*target)).await?;
        }
        Ok(hold)
    };
    wait_until("four rotations have their turns", Duration::from_secs(20), || async {
        let hold = hold().await?;
        Ok(if hold == 4 { Ok(()) } else { Err(format!("{hold} do")) })
    })
    .await?;
    let began = Instant::now();
    // A place in the process, and the turn of the target.
    for (api, target, told) in [
        (&api, *late, "other secrets are being put in place; try again"),
        (&other, four[0], "another secret is being put there; try again"),
    ] {
        let asked = Instant::now();
        let refused = api.post(&credential(target), &secret("third")).await?.expect(409)?.json();
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}: {refused}", asked.elapsed());
        assert_eq!((&refused["detail"], &refused["retry_after_s"]), (&json!(told), &json!(5)), "{refused}");
    }
    // Every session of ours ends after 30 s in which its transaction asks nothing.
    tokio::time::sleep(Duration::from_secs(35).saturating_sub(began.elapsed())).await;
    assert_eq!(hold().await?, 4, "nobody else gets in between");
    held.unlock()?;
    for target in four {
        wait_until("it has come to its end", Duration::from_secs(20), || async {
            let rotated = "SELECT count(*) FROM events WHERE event_type = 'CredentialRotated' AND aggregate_id";
            let events = world.count(&format!("{rotated} = '{target}'")).await?;
            let kept = kept(&world, *target).await?.0;
            Ok(if kept == "second" && events == 2 { Ok(()) } else { Err(format!("{kept}, {events} events")) })
        })
        .await?;
    }
    assert_eq!(kept(&world, *late).await?.0, "first", "who was told to try again has changed nothing");
    drop(services);
    world.close().await
}
