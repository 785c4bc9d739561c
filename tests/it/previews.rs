//! Previews: what would keep a sync waiting is said as an explanation says it.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::why::{json_of, listed, priced};

/// Waits until an explanation says so of what is next, and gives all that it says of it.
async fn explained(world: &World, listing: &str, says: &str) -> anyhow::Result<Value> {
    let mut next = Value::Null;
    for _ in 0..200 {
        next = json_of(world, &["explain", listing])?.1["next"].clone();
        if next.to_string().contains(says) {
            return Ok(next);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("{says}: {next:#}")
}

/// What the command line, the API and the page of a preview say is waited for; with and without that somebody asks for a sync.
async fn previewed(world: &World, viewer: &Api, listing: &str, reason: &str) -> anyhow::Result<()> {
    for force in [false, true] {
        let mut arguments = vec!["listing", "preview", listing];
        arguments.extend(force.then_some("--force"));
        let (_, told) = json_of(world, &arguments)?;
        let path = format!("/api/channels/listings/{listing}/preview?force={force}");
        let same = viewer.get(&path).await?.expect(200)?.json();
        for told in [&told, &same] {
            assert!(told["held"].to_string().contains(reason), "{reason}: {told:#}");
            assert!(told["words"].to_string().contains(&format!(": {reason}")), "{told:#}");
        }
    }
    let page = viewer.get(&format!("/listings/{listing}/preview")).await?.expect(200)?.text;
    // A page shows times and syncs as what they are.
    let beginning = reason.split(" until").next().and_then(|words| words.split(" of sync").next()).unwrap_or_default();
    assert!(page.contains(beginning), "{beginning}: {page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_names_what_an_explanation_says_that_is_waited_for() -> anyhow::Result<()> {
    let world = World::new(&[7863]).await?;
    let target = world.target(7863, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, told) = json_of(&world, &["listing", "preview", &listing, "--force"])?;
    assert_eq!(told["held"], json!([]), "{told:#}");

    // An attempt is under way.
    let put = |kind: &str| json!({ "kind": kind, "account": 7863, "method": "PUT", "path_prefix": "/v1/listings" });
    let held = world.sandbox.fault_rule(&put("hold")).await?;
    world.publish(&[priced("villa-000", 2, 5_500)]).await?;
    world.taken(1, 2).await?;
    let next = explained(&world, &listing, "under_way").await?;
    let sync = next["sync_id"].as_str().unwrap_or_default().to_owned();
    previewed(&world, &viewer, &listing, &format!("an attempt of sync {sync} is under way")).await?;
    let (_, told) = json_of(&world, &["listing", "preview", &listing])?;
    assert!(told["words"].to_string().contains("It is being sent: an attempt of sync"), "{told:#}");
    world.sandbox.mend(held).await?;
    world.drained(Duration::from_secs(30)).await?;

    // The channel has paused the account.
    let mut refusing = put("rate_limited");
    refusing["retry_after_s"] = json!(15);
    refusing["count"] = json!(1);
    world.sandbox.fault(refusing).await?;
    world.publish(&[priced("villa-000", 3, 6_000)]).await?;
    world.taken(1, 3).await?;
    let next = explained(&world, &listing, "the channel has the account paused until").await?;
    let because = next["because"].as_array().cloned().unwrap_or_default();
    let pause = because.iter().filter_map(Value::as_str).find(|reason| reason.contains("paused until"));
    previewed(&world, &viewer, &listing, pause.unwrap_or_default()).await?;
    world.drained(Duration::from_secs(60)).await?;

    // The circuit of the target is open, also where nothing waits yet.
    for statement in [
        "INSERT INTO dispatch_checks (target_id, due_at) VALUES ($1, now() + interval '1 hour')
         ON CONFLICT (target_id) DO UPDATE SET due_at = excluded.due_at",
        "INSERT INTO dispatch_circuits (target_id, failures, opened) VALUES ($1, 7, 1)",
    ] {
        sqlx::query(statement).bind(target.0).execute(&world.pool).await?;
    }
    previewed(&world, &viewer, &listing, "7 attempts and checks of the target failed in a row").await?;
    drop(service);
    world.close().await
}
