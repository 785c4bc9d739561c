//! A creation that the channel answers with an id of which nothing says whether it is ours: nothing is created again by itself.

use std::time::Duration;

use anyhow::ensure;
use domain::call::UNPROVED;
use domain::window::RateLimit;
use end_to_end::world::World;
use serde_json::{Value, json};

use crate::why::{json_of, priced};

const ACCOUNT: u64 = 7872;

fn run(world: &World, arguments: &[&str]) -> anyhow::Result<String> {
    let (code, printed, said) = world.run(arguments)?;
    ensure!(code == 0, "{arguments:?}: {said}");
    Ok(printed)
}

/// Its last sync was refused, and what is told says what helps.
fn is_left_to_a_person(world: &World, listing: &str) -> anyhow::Result<()> {
    let (_, told) = json_of(world, &["explain", listing])?;
    assert_eq!(told["sync"]["outcome"], json!("rejected"), "{told:#}");
    assert_eq!(told["listing"]["external_id"], Value::Null, "{told:#}");
    let detail = told["sync"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(UNPROVED) && detail.contains("39999"), "{told:#}");
    let shown = run(world, &["listing", "show", listing])?;
    let unlink = format!("`distribution listing unlink {listing}`");
    assert!(shown.contains(&unlink) && shown.contains("--afresh"), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_nothing_proves_has_nothing_created_until_a_person_links_anew() -> anyhow::Result<()> {
    let world = World::new(&[ACCOUNT]).await?;
    let target = world.target(ACCOUNT, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let body = json!({ "status": "success", "result": { "id": 39_999 } });
    let path = "/v1/listings";
    let created = json!({ "kind": "status", "account": ACCOUNT, "method": "POST", "path_pattern": path, "code": 200, "body": body });
    let created = world.sandbox.fault_rule(&created).await?;
    world.publish(&[priced("villa-000", 1, 4_000)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0].to_string();
    world.drained(Duration::from_secs(30)).await?;
    is_left_to_a_person(&world, &listing)?;
    // Changes look for it again, by our reference and under that id.
    world.publish(&[priced("villa-000", 2, 5_000)]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(30)).await?;
    is_left_to_a_person(&world, &listing)?;
    run(&world, &["listing", "sync", &listing, "--reason", "to see"])?;
    world.drained(Duration::from_secs(30)).await?;
    is_left_to_a_person(&world, &listing)?;
    assert_eq!(world.sandbox.hits(created).await?, 1);

    world.sandbox.mend(created).await?;
    let target = target.to_string();
    run(&world, &["listing", "unlink", &listing, "--reason", "it is another's"])?;
    run(&world, &["listing", "link", "--target", &target, "--unit", "villa-000", "--afresh"])?;
    world.drained(Duration::from_secs(30)).await?;
    let shown = json_of(&world, &["listing", "show", &listing])?.1;
    assert!(shown["external_id"].is_string(), "{shown:#}");
    assert_eq!(world.sandbox.listings(ACCOUNT).await?.len(), 1);
    drop(service);
    world.close().await
}
