//! A creation that the channel answers with an id of which nothing says whether it is ours: nothing is created again by itself.

use std::time::Duration;

use anyhow::ensure;
use domain::call::UNPROVED;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::why::{json_of, on_a_page, priced};

const ACCOUNT: u64 = 7872;

fn run(world: &World, arguments: &[&str]) -> anyhow::Result<String> {
    let (code, printed, said) = world.run(arguments)?;
    ensure!(code == 0, "{arguments:?}: {said}");
    Ok(printed)
}

/// Its last sync was refused, and what is told says what helps.
async fn is_left_to_a_person(world: &World, viewer: &Api, listing: &str) -> anyhow::Result<()> {
    let (_, told) = json_of(world, &["explain", listing])?;
    assert_eq!(told["sync"]["outcome"], json!("rejected"), "{told:#}");
    assert_eq!(told["listing"]["external_id"], Value::Null, "{told:#}");
    let detail = told["sync"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(UNPROVED) && detail.contains("39999"), "{told:#}");
    let shown = run(world, &["listing", "show", listing])?;
    let unlink = format!("`distribution listing unlink {listing}`");
    assert!(shown.contains(&unlink) && shown.contains("--afresh"), "{shown}");
    let next = told["next"]["what_to_do"].to_string();
    assert!(next.contains(UNPROVED) && next.contains("39999") && next.contains(&unlink), "{told:#}");
    let (_, would) = json_of(world, &["listing", "preview", listing])?;
    let words = would["words"].to_string();
    assert_eq!(would["creates"], json!(false), "{would:#}");
    assert!(words.contains("It would not be created: ") && words.contains(&unlink), "{would:#}");
    assert!(!words.contains("created if it is not there"), "{would:#}");
    let first = would["words"][0].as_str().unwrap_or_default();
    assert!(first.starts_with("Nothing would be sent. ") && first.contains(UNPROVED), "{would:#}");
    assert_eq!(would["calls_at_least"], json!(0), "{would:#}");
    assert!(words.contains("But for that, revision ") && !words.contains("in at least"), "{would:#}");
    let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    assert!(page.contains("It is not created: ") && page.contains(&on_a_page(&unlink)), "{page}");
    assert!(!page.contains("The next change of the unit is sent"), "{page}");
    assert!(page.contains("Why it was refused") && !page.contains("In the channel's words"), "{page}");
    Ok(())
}

/// Whoever looks at that id at the channel asks for it: as long as nobody holds it, and when another one does.
async fn its_id_leads_to_it(world: &World, viewer: &Api, target: &str, listing: &str) -> anyhow::Result<()> {
    let (_, told) = json_of(world, &["explain", "39999"])?;
    assert_eq!(
        (&told["listing"]["listing_id"], &told["unproved_creations"]),
        (&json!(listing), &json!([])),
        "{told:#}"
    );
    run(world, &["listing", "link", "--target", target, "--unit", "villa-001", "--external-id", "39999"])?;
    world.drained(Duration::from_secs(30)).await?;
    let (_, told) = json_of(world, &["explain", "39999"])?;
    assert_eq!(told["listing"]["unit_id"], json!("villa-001"), "{told:#}");
    let holder = told["listing"]["listing_id"].as_str().unwrap_or_default().to_owned();
    let api = viewer.get(&format!("/api/channels/listings/{holder}/explain")).await?.expect(200)?.json();
    for told in [&told, &api] {
        let creations = json!([{ "listing_id": listing, "unit_id": "villa-000" }]);
        assert_eq!(told["unproved_creations"], creations, "{told:#}");
        let words = told["words"].to_string();
        let begins =
            format!("Of listing {listing} (unit villa-000): a creation of it was answered with 39999, and {UNPROVED}");
        assert!(words.contains(&begins) && words.contains(&format!("unlink {listing}`")), "{words}");
    }
    run(world, &["listing", "unlink", &holder, "--reason", "it was a mistake"])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_nothing_proves_has_nothing_created_until_a_person_links_anew() -> anyhow::Result<()> {
    let world = World::new(&[ACCOUNT]).await?;
    let target = world.target(ACCOUNT, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let body = json!({ "status": "success", "result": { "id": 39_999 } });
    let path = "/v1/listings";
    let created = json!({ "kind": "status", "account": ACCOUNT, "method": "POST", "path_pattern": path, "code": 200, "body": body });
    let created = world.sandbox.fault_rule(&created).await?;
    world.publish(&[priced("villa-000", 1, 4_000)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0].to_string();
    world.drained(Duration::from_secs(30)).await?;
    is_left_to_a_person(&world, &viewer, &listing).await?;
    // Changes look for it again, by our reference and under that id.
    world.publish(&[priced("villa-000", 2, 5_000)]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(30)).await?;
    is_left_to_a_person(&world, &viewer, &listing).await?;
    run(&world, &["listing", "sync", &listing, "--reason", "to see"])?;
    world.drained(Duration::from_secs(30)).await?;
    is_left_to_a_person(&world, &viewer, &listing).await?;
    assert_eq!(world.sandbox.hits(created).await?, 1);

    world.sandbox.mend(created).await?;
    let target = target.to_string();
    its_id_leads_to_it(&world, &viewer, &target, &listing).await?;
    // Of one that is held it is told, too.
    run(&world, &["listing", "pause", &listing, "--reason", "a look first"])?;
    world.publish(&[priced("villa-000", 3, 6_000)]).await?;
    world.taken(1, 3).await?;
    let next = json_of(&world, &["explain", &listing])?.1["next"].clone();
    assert_eq!(next["step"], json!("held"), "{next:#}");
    assert!(next["what_to_do"].to_string().contains(UNPROVED), "{next:#}");

    run(&world, &["listing", "unlink", &listing, "--reason", "it is another's"])?;
    run(&world, &["listing", "link", "--target", &target, "--unit", "villa-000", "--afresh"])?;
    world.drained(Duration::from_secs(30)).await?;
    let shown = json_of(&world, &["listing", "show", &listing])?.1;
    assert!(shown["external_id"].is_string(), "{shown:#}");
    assert_eq!(world.sandbox.listings(ACCOUNT).await?.len(), 1);
    drop(service);
    world.close().await
}
