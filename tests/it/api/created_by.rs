//! Whoever gives a command is named with the credential wherever the command is told, for whoever reads the audit, too.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::unit;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

/// Who did what, by which kind of credential, and whether its id is told.
fn told(items: &Value, what: &str) -> BTreeSet<(String, String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |item: &Value| {
        let has_id = item["credential_id"].as_str().is_some_and(|id| !id.is_empty());
        (text(&item[what]), text(&item["created_by"]), text(&item["credential"]), has_id)
    };
    items["items"].as_array().into_iter().flatten().map(row).collect()
}

fn by_owner(what: &str) -> (String, String, String, bool) {
    (what.to_owned(), format!("owner-of-{ORG}"), "local_token".to_owned(), true)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_told_with_who_gave_it_and_by_which_credential_also_to_an_analyst() -> anyhow::Result<()> {
    let world = World::new(&[8190]).await?;
    let target = world.target(8190, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let api = Api::of(&service).await?;
    let owner = api.as_caller(&world, ORG, None, "owner")?;
    let analyst = api.as_caller(&world, ORG, None, "analyst")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let of_target = format!("/api/channels/targets/{target}");
    let reason = json!({ "reason": "works on the roof" });
    let link = json!({ "target_id": target, "unit_id": "villa-000" });
    let linked = owner.post("/api/channels/listings", &link).await?.expect(201)?.json();
    let of_listing = format!("/api/channels/listings/{}", linked["listing_id"].as_str().unwrap_or_default());
    world.drained(Duration::from_secs(30)).await?;
    owner.post(&format!("{of_listing}/drift"), &Value::Null).await?.expect(200)?;
    owner.post(&format!("{of_listing}/pause"), &reason).await?.expect(200)?;
    owner.send(Method::DELETE, &of_listing, &[], Some(&reason)).await?.expect(200)?;
    let name = json!({ "name": "Hostaway Bali (north)" });
    owner.send(Method::PATCH, &of_target, &[], Some(&name)).await?.expect(200)?;
    owner.post(&format!("{of_target}/credential"), &json!({ "secret": "secret-8190" })).await?.expect(200)?;
    owner.post(&format!("{of_target}/pause"), &reason).await?.expect(200)?;
    owner.post(&format!("{of_target}/resume"), &Value::Null).await?.expect(200)?;
    let checked = owner.post(&format!("{of_target}/check"), &Value::Null).await?.expect(200)?.json();
    let check = &checked["check"];
    assert_eq!((&check["created_by"], &check["asked_by"]), (&json!("owner-of-tvl"), &json!("owner-of-tvl")), "{check}");
    assert_eq!((&check["credential"], check["credential_id"].is_string()), (&json!("local_token"), true), "{check}");
    owner.send(Method::DELETE, &of_target, &[], Some(&reason)).await?.expect(200)?;

    let history = analyst.get(&format!("{of_target}/history")).await?.expect(200)?;
    let events = told(&history.json(), "event_type");
    for event in ["TargetConfigured", "CredentialRotated", "TargetPaused", "TargetResumed", "TargetDeleted"] {
        assert!(events.contains(&by_owner(event)), "{event}: {events:?}");
    }
    let events = told(&analyst.get(&format!("{of_listing}/history")).await?.expect(200)?.json(), "event_type");
    for event in ["ListingLinked", "ListingPaused", "ListingUnlinked"] {
        assert!(events.contains(&by_owner(event)), "{event}: {events:?}");
    }
    let visits = analyst.get(&format!("{of_target}/visits")).await?.expect(200)?.json();
    assert_eq!(told(&visits, "kind"), BTreeSet::from([by_owner("check"), by_owner("drift")]), "{visits}");

    // The settings of a target are for who may read targets.
    let viewer = api.as_caller(&world, ORG, None, "viewer")?;
    let whole = viewer.get(&format!("{of_target}/history")).await?.expect(200)?;
    let settings = [world.sandbox.url.as_str(), "file:hostaway-8190", "\"channel_account\":\"8190\""];
    assert_eq!(settings.map(|setting| whole.text.contains(setting)), [true; 3], "{}", whole.text);
    assert_eq!(settings.map(|setting| history.text.contains(setting)), [false; 3], "{}", history.text);
    let first = history.json()["items"].as_array().and_then(|items| items.last().cloned()).unwrap_or_default();
    assert_eq!(first["withheld"], json!(["base_url", "channel_account", "credential"]), "{first}");
    drop(service);
    world.close().await
}

/// They get one check, and each of them has asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_asks_for_a_check_is_told_with_it() -> anyhow::Result<()> {
    let world = World::new(&[8191]).await?;
    let target = world.target(8191, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let api = Api::of(&service).await?;
    let owners = [api.as_caller(&world, ORG, None, "owner")?, api.as_caller(&world, ORG, None, "owner")?];
    world.sandbox.fault(json!({ "kind": "hang", "account": 8191, "seconds": 3.0, "apply": true })).await?;
    let of_target = format!("/api/channels/targets/{target}");
    let ask = async |owner: &Api| owner.post(&format!("{of_target}/check"), &Value::Null).await?.expect(200);
    let (one, other) = futures::future::try_join(ask(&owners[0]), ask(&owners[1])).await?;
    assert_eq!(one.json()["check"]["check_id"], other.json()["check"]["check_id"], "one check, {}", one.text);
    let visits = owners[0].get(&format!("{of_target}/visits")).await?.expect(200)?.json();
    let items = visits["items"].as_array().cloned().unwrap_or_default();
    let ids: BTreeSet<&str> = items.iter().filter_map(|visit| visit["credential_id"].as_str()).collect();
    assert_eq!((items.len(), ids.len()), (2, 2), "{visits}");
    // Page by page, the same.
    let pages = owners[0].pages(&format!("{of_target}/visits?limit=1"), "credential_id").await?;
    let told: BTreeSet<&str> = pages.iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(told, ids, "{pages:?}");
    drop(service);
    world.close().await
}
