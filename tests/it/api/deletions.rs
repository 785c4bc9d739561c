//! The secret of a deleted target goes, whatever comes between the two.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

const GONE: &str = "deleted already; nothing is left to do";

/// A target with a secret that the API keeps; its path, and its secret's name.
async fn made(api: &Api) -> anyhow::Result<(String, String)> {
    let wanted = json!({ "account_id": ACCOUNT, "name": "Hostaway", "base_url": "https://api.hostaway.com/v1",
        "channel_account": "1", "secret": "a-secret" });
    let made = api.post("/api/channels/targets", &wanted).await?.expect(201)?.json();
    let target = made["target_id"].as_str().context("it has an id")?;
    Ok((format!("/api/channels/targets/{target}"), format!("store:distribution.{target}")))
}

async fn delete(api: &Api, path: &str, key: &str, status: u16) -> anyhow::Result<(String, Value)> {
    let reason = json!({ "reason": "the account was closed" });
    let deleted = api.send(Method::DELETE, path, &[("idempotency-key", key)], Some(&reason)).await?.expect(status)?;
    Ok((deleted.header("idempotency-replayed"), deleted.json()))
}

/// The secrets of the encrypted store.
fn kept(world: &World) -> anyhow::Result<Vec<String>> {
    let (code, printed, said) = world.run(&["--output", "json", "secret", "list"])?;
    anyhow::ensure!(code == 0, "{said}");
    let listed: Vec<Value> = serde_json::from_str(&printed)?;
    Ok(listed.iter().filter_map(|one| one["secret_ref"].as_str()).map(str::to_owned).collect())
}

async fn until_gone(world: &World, secret: &str) -> anyhow::Result<()> {
    wait_until("the secret is gone", Duration::from_secs(30), || async {
        let kept = kept(world)?;
        Ok(if kept.iter().any(|one| one == secret) { Err(format!("{kept:?}")) } else { Ok(()) })
    })
    .await
}

/// What the doctor says of secrets that are left over; empty where there are none.
fn left_over(world: &World) -> anyhow::Result<String> {
    let (_, printed, _) = world.run(&["--output", "json", "doctor"])?;
    let report: Value = serde_json::from_str(&printed)?;
    let details = report["checks"].as_array().into_iter().flatten().filter_map(|check| check["detail"].as_str());
    Ok(details.filter(|detail| detail.contains("of deleted targets")).collect())
}

/// The file of the store, where it cannot be read for a while.
struct Damaged(PathBuf, Vec<u8>);

impl Damaged {
    fn of(world: &World) -> anyhow::Result<Self> {
        let path = world.path("secrets/.store/secrets.json");
        let whole = std::fs::read(&path)?;
        std::fs::write(&path, "no secrets")?;
        Ok(Self(path, whole))
    }

    fn mend(self) -> anyhow::Result<()> {
        Ok(std::fs::write(self.0, self.1)?)
    }
}

/// As soon as the deletion is in the journal nobody finds the secret by its target any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_outlived_its_target_in_a_crash_is_taken_away_at_the_next_start() -> anyhow::Result<()> {
    let world = World::new(&[8153]).await?;
    let mut service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let (_, stays) = made(&api).await?;
    let (path, secret) = made(&api).await?;
    // Another process writes to the store just then.
    let lock = File::options().append(true).open(world.path("secrets/.store/lock"))?;
    lock.lock()?;
    let lost = {
        let (api, path) = (api.clone(), path.clone());
        tokio::spawn(async move { delete(&api, &path, "lost-in-a-crash", 200).await })
    };
    wait_until("the deletion is in the journal", Duration::from_secs(20), || async {
        let deleted = world.count("SELECT count(*) FROM events WHERE event_type = 'TargetDeleted'").await?;
        Ok(if deleted == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;
    service.kill();
    assert!(lost.await?.is_err(), "the answer was lost");
    drop(lock);
    assert!(kept(&world)?.contains(&secret), "the crash came before");
    let told = left_over(&world)?;
    assert!(told.contains("1 secret of deleted targets is still there") && told.contains(&secret), "{told}");

    let service = world.serve("api")?;
    until_gone(&world, &secret).await?;
    assert_eq!((kept(&world)?, left_over(&world)?), (vec![stays], String::new()));
    let target = path.rsplit('/').next().unwrap_or_default();
    let told = service.printed();
    let line = told.lines().find(|line| line.contains("was still there, and is deleted now")).unwrap_or_default();
    assert!(line.contains(target), "{told}");
    drop(service);
    world.close().await
}

/// A store that could not be used for a moment kept secrets of deleted targets for good, and whoever asked again was told that all was done.
#[tokio::test(flavor = "multi_thread")]
async fn who_deletes_again_takes_away_the_secret_that_could_not_go_with_its_target() -> anyhow::Result<()> {
    let world = World::new(&[8154]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let (path, _) = made(&api).await?;
    let (replayed_path, replayed_secret) = made(&api).await?;
    let damaged = Damaged::of(&world)?;
    for (path, key) in [(&path, "first"), (&replayed_path, "replayed")] {
        let (_, deleted) = delete(&api, path, key, 200).await?;
        assert_eq!(deleted["state"], "deleted");
    }
    // Of many that fail alike the log has one line.
    let first = path.rsplit('/').next().unwrap_or_default();
    wait_until("the log tells of it", Duration::from_secs(10), || async {
        let told = service.printed();
        let line = told.lines().find(|line| line.contains("could not be deleted") && line.contains(first));
        Ok(if line.is_some_and(|line| line.contains("WARN")) { Ok(()) } else { Err(told) })
    })
    .await?;
    let (_, refused) = delete(&api, &path, "while it is damaged", 503).await?;
    assert!(refused["detail"].to_string().contains("its secret is not yet"), "{refused}");
    damaged.mend()?;
    let both = left_over(&world)?;
    assert!(both.contains("2 secrets of deleted targets are still there"), "{both}");

    let (_, done) = delete(&api, &path, "again", 409).await?;
    assert!(done["detail"].to_string().contains(GONE), "{done}");
    assert_eq!(kept(&world)?, std::slice::from_ref(&replayed_secret));
    // The answer was lost.
    sqlx::query("UPDATE api_answers SET status = NULL, unknown_end = true").execute(&world.pool).await?;
    let (replayed, deleted) = delete(&api, &replayed_path, "replayed", 200).await?;
    assert_eq!((replayed.as_str(), &deleted["state"]), ("true", &json!("deleted")));
    assert_eq!((kept(&world)?, left_over(&world)?), (Vec::new(), String::new()));
    drop(service);
    world.close().await
}

/// Such a name may stand for another value by the time that somebody tries again: nobody takes that away who has not said so.
#[tokio::test(flavor = "multi_thread")]
async fn what_people_have_named_goes_with_its_target_or_when_asked_again_and_not_by_itself() -> anyhow::Result<()> {
    let world = World::new(&[8155]).await?;
    let service = world.serve("api,relay,projector")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let file = world.path("value.txt");
    let value = file.display().to_string();
    std::fs::write(&file, "a-secret")?;
    let mut paths = Vec::new();
    for name in ["renewed", "stale"] {
        assert_eq!(world.run(&["secret", "put", name, "--from-file", &value])?.0, 0);
        let who = ["--output", "json", "target", "create", "--org", ORG, "--account", ACCOUNT, "--name", name];
        let reference = format!("store:{name}");
        let there = ["--base-url", "https://api.hostaway.com/v1", "--channel-account", "1"];
        let what = ["--secret-ref", reference.as_str()];
        let (code, printed, said) = world.run(&[&who[..], &there[..], &what[..]].concat())?;
        assert_eq!(code, 0, "{said}");
        let made: Value = serde_json::from_str(&printed)?;
        let target = made["target_id"].as_str().with_context(|| format!("no id: {printed}"))?.to_owned();
        paths.push(format!("/api/channels/targets/{target}"));
    }
    let damaged = Damaged::of(&world)?;
    for path in &paths {
        delete(&api, path, path, 200).await?;
    }
    damaged.mend()?;
    std::fs::write(&file, "another-one")?;
    assert_eq!(world.run(&["secret", "rotate", "renewed", "--from-file", &value])?.0, 0);
    drop(service);

    let service = world.serve("api,relay,projector")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    wait_until("the doctor names it", Duration::from_secs(30), || async {
        let told = left_over(&world)?;
        Ok(if told.contains("store:stale") && !told.contains("store:renewed") { Ok(()) } else { Err(told) })
    })
    .await?;
    assert_eq!(kept(&world)?, ["store:renewed", "store:stale"]);
    for path in &paths {
        delete(&api, path, "again", 409).await?;
    }
    assert_eq!((kept(&world)?, left_over(&world)?), (vec!["store:renewed".to_owned()], String::new()));
    drop(service);
    world.close().await
}
