//! A value that the command line puts in the place of a secret is no event, and yet each target that uses the secret tells who put it there.

use std::time::Duration;

use anyhow::Context as _;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::why::json_of;

#[tokio::test(flavor = "multi_thread")]
async fn who_puts_a_value_in_the_place_of_a_secret_is_told_with_each_target_that_uses_it() -> anyhow::Result<()> {
    let world = World::new(&[8196]).await?;
    let service = world.serve("")?;
    let anybody = Api::of(&service).await?;
    let viewer = anybody.as_caller(&world, ORG, None, "viewer")?;
    let elsewhere = anybody.as_caller(&world, "elsewhere", None, "owner")?;
    let another = world.target(8196, RateLimit::default()).await?;
    let mut targets = Vec::new();
    for _ in 0..2 {
        targets.push(world.target(8196, RateLimit::default()).await?.to_string());
    }
    let path = world.path("value");
    let file = path.to_str().context("a path")?;
    let by = ["--as", "ops@example.org"];
    for target in &targets {
        let (code, _, said) = world.run(&["target", "rotate-credential", target, "--secret-ref", "store:shared"])?;
        assert_eq!(code, 0, "{said}");
    }
    let before = world.count("SELECT max(position) FROM events").await?;
    for (what, value) in [("put", "wrong"), ("rotate", "secret-8196")] {
        std::fs::write(&path, value)?;
        let (code, done) = json_of(&world, &[&by[..], &["secret", what, "shared", "--from-file", file]].concat())?;
        assert_eq!((code, &done["targets"]), (0, &json!(targets)), "{done}");
    }
    let (_, printed, _) = world.run(&["target", "check", &targets[0]])?;
    assert!(printed.contains("accepted"), "the channel takes it: {printed}");

    let kinds = [json!("secret_rotate"), json!("secret_put")];
    for target in &targets {
        let path = format!("/api/channels/targets/{target}/visits");
        let visits = viewer.get(&path).await?.expect(200)?;
        let of_secret = |visit: &&Value| visit["kind"] != "check";
        let items = visits.json()["items"].as_array().cloned().unwrap_or_default();
        let told: Vec<&Value> = items.iter().filter(of_secret).collect();
        assert_eq!(told.iter().map(|visit| visit["kind"].clone()).collect::<Vec<_>>(), kinds, "{}", visits.text);
        let who = (&json!("ops@example.org"), &json!("cli"));
        assert!(told.iter().all(|visit| (&visit["created_by"], &visit["credential"]) == who), "{}", visits.text);
        assert!(!visits.text.contains("shared"), "where it is kept is for who may read targets: {}", visits.text);
        for page in [format!("/targets/{target}"), format!("/targets/{target}/history")] {
            let told = viewer.get(&page).await?.expect(200)?.text;
            for words in ["secret rotate", "secret put", "ops@example.org (cli)"] {
                assert!(told.contains(words), "{words} on {page}: {told}");
            }
            assert!(!told.contains("secret-8196"), "{page}: {told}");
        }
        let (_, printed, _) = world.run(&["target", "health", target])?;
        assert!(printed.contains("secret rotate") && printed.contains("ops@example.org (cli)"), "{printed}");
        elsewhere.get(&path).await?.expect(404)?;
    }
    let visits = viewer.get(&format!("/api/channels/targets/{another}/visits")).await?.expect(200)?.json();
    assert_eq!(visits["items"], json!([]), "it has another secret");

    // It lets nothing go and says nothing of the credentials: no event of a target but what the check has seen.
    let other = format!("SELECT count(*) FROM events WHERE position > {before} AND event_type <> 'HealthChanged'");
    assert_eq!(world.count(&other).await?, 0);
    // Page by page, the same, the check among them.
    let path = format!("/api/channels/targets/{}/visits", targets[0]);
    wait_until("all are told", Duration::from_secs(20), || async {
        let pages = viewer.pages(&format!("{path}?limit=1"), "kind").await?;
        let told: Vec<Value> = pages.into_iter().flatten().collect();
        let wanted = [&[json!("check")][..], &kinds].concat();
        Ok(if told == wanted { Ok(()) } else { Err(format!("{told:?}")) })
    })
    .await?;

    // Without a database the value is put there all the same, and that nobody tells of it is said.
    let rotate = ["secret", "rotate", "shared", "--from-file", file];
    let (code, printed, said) = world.run_with(&[("DATABASE_URL", "postgres://127.0.0.1:9/none")], &rotate)?;
    assert!(code == 0 && printed.contains("secret store:shared is rotated"), "{printed}{said}");
    assert!(said.contains("no target tells that you have put it there: cannot reach Postgres"), "{said}");
    assert_eq!(world.count("SELECT count(*) FROM secret_changes").await?, 4);
    drop(service);
    world.close().await
}
