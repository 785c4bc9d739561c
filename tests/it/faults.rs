//! A channel that fails: cuts, hangs, 5xx, refused credentials, bad parts, pages of somebody else. Each ends as its class says.

use std::time::Duration;

use domain::target::TargetCommand;
use domain::window::RateLimit;
use end_to_end::unit::{described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::World;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn creates_that_are_cut_off_after_they_were_applied_make_no_duplicates() -> anyhow::Result<()> {
    let world = World::new(&[7800]).await?;
    let target = world.target(7800, RateLimit::new(100, 1_000)?).await?;
    let rule = json!({"kind": "cut_after", "method": "POST", "path_prefix": "/v1/listings", "count": 5});
    world.sandbox.fault(rule).await?;
    let _service = world.serve("")?;
    let units = names(10);
    world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(10, 1).await?;
    world.drained(Duration::from_secs(120)).await?;
    assert_eq!(world.sandbox.listings(7800).await?.len(), 10);
    assert_eq!(world.sandbox.account(7800).await?["duplicate_references"], 0);
    let unknown = world.count("SELECT count(*) FROM outbound_attempts WHERE class = 'unknown'").await?;
    assert_eq!(unknown, 5, "each cut is told as an attempt whose end is unknown");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_attempts_then_exhausted_and_a_retry_heals() -> anyhow::Result<()> {
    let world = World::new(&[7810]).await?;
    let target = world.target(7810, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    let units = names(1);
    let listing = world.link(target, &units).await?[0];
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    world.sandbox.fault(json!({"kind": "status", "code": 503, "method": "PUT"})).await?;
    world.publish(&[described("villa-000", 2, "Never comes through.")]).await?;
    world.taken(1, 2).await?;
    // Four waits with full jitter: at most 2 + 4 + 8 + 16 s.
    world.drained(Duration::from_secs(60)).await?;
    let exhausted = "SELECT count(*) FROM outbound_audit WHERE outcome = 'exhausted' AND attempts = 5";
    assert_eq!(world.count(exhausted).await?, 1);
    let tried = "SELECT count(*) FROM outbound_attempts WHERE status = 503";
    assert_eq!(world.count(tried).await?, 5);
    wait_until("the target was seen to be degraded", Duration::from_secs(10), || async {
        // Not its health of now: a check may have come between, which is answered and lifts it again.
        let told = "SELECT count(*) FROM events WHERE event_type = 'HealthChanged' AND payload->'HealthChanged'->>'to' = 'degraded'";
        Ok(if world.count(told).await? > 0 { Ok(()) } else { Err("it was not".to_owned()) })
    })
    .await?;
    world.sandbox.heal().await?;
    let (code, _, error) = world.run(&["listing", "sync", &listing.to_string(), "--reason", "it is up again"])?;
    assert_eq!(code, 0, "{error}");
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(world.sandbox.listings(7810).await?[0]["description"], "Never comes through.");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_hold_the_target_until_they_change() -> anyhow::Result<()> {
    let world = World::new(&[7820]).await?;
    let target = world.target(7820, RateLimit::new(100, 1_000)?).await?;
    let metadata = world.metadata(target)?;
    std::fs::write(world.path("secrets/hostaway-7820"), "not the secret")?;
    let _service = world.serve("")?;
    let units = names(4);
    world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(4, 1).await?;
    wait_until("the target is held", Duration::from_secs(20), || async {
        let held = world.count("SELECT count(*) FROM channel_targets WHERE health = 'unauthorised'").await?;
        Ok(if held == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.count("SELECT count(*) FROM sync_queue").await?, 4, "nothing failed, everything waits");
    assert_eq!(world.count("SELECT coalesce(max(attempts), 0)::bigint FROM outbound_audit").await?, 0);
    std::fs::write(world.path("secrets/hostaway-7820"), "secret-7820")?;
    let rotate = TargetCommand::RotateCredential { credential: "file:hostaway-7820".parse()? };
    world.commands().target(target, rotate, &metadata).await?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(world.sandbox.listings(7820).await?.len(), 4);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_part_stops_that_part_and_is_shown() -> anyhow::Result<()> {
    let world = World::new(&[7830]).await?;
    let target = world.target(7830, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    world.link(target, &names(1)).await?;
    let mut message = unit("villa-000", 1);
    message["unit"]["amenities"][1] = json!("teleporter");
    message["unit"]["photos"][2]["url"] = json!("ftp://photos.example.org/garden.jpg");
    world.publish(&[message]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    let rejected: serde_json::Value =
        sqlx::query_scalar("SELECT rejected FROM outbound_audit WHERE outcome = 'accepted_with_rejections'")
            .fetch_one(&world.pool)
            .await?;
    let parts: Vec<&str> = rejected.as_array().expect("a list").iter().filter_map(|p| p["part"].as_str()).collect();
    assert!(parts.contains(&"unit.amenities[1]"), "{rejected}");
    assert!(parts.contains(&"unit.photos[2].url") || parts.contains(&"unit.photos[2]"), "{rejected}");
    let listing = &world.sandbox.listings(7830).await?[0];
    assert_eq!(listing["listingImages"].as_array().map(Vec::len), Some(2));
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_end_is_read_back_before_anything_is_sent_again() -> anyhow::Result<()> {
    let world = World::new(&[7840]).await?;
    let target = world.target(7840, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve_with("", &["--call-timeout-s", "2"])?;
    world.link(target, &names(1)).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    let rule = json!({"kind": "hang", "seconds": 5, "apply": true, "method": "PUT", "count": 1});
    world.sandbox.fault(rule).await?;
    world.publish(&[described("villa-000", 2, "Applied, but nobody said so.")]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(30)).await?;
    let puts = "SELECT count(*) FROM outbound_attempts a JOIN outbound_audit o USING (sync_id)
                WHERE o.revision = 2 AND a.method = 'PUT'";
    assert_eq!(world.count(puts).await?, 1, "it was there, so it was not sent again");
    let reads = "SELECT count(*) FROM outbound_attempts a JOIN outbound_audit o USING (sync_id)
                 WHERE o.revision = 2 AND a.purpose = 'read_back'";
    assert!(world.count(reads).await? >= 1);
    world.close().await
}

/// A gateway that has lost its channel says 404, too; and a success without content is no refusal of all fields.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_in_place_of_the_channel_loses_no_change() -> anyhow::Result<()> {
    let world = World::new(&[7860]).await?;
    let target = world.target(7860, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    world.link(target, &names(1)).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    let page = "<html><h1>404 Not Found</h1>nginx</html>";
    let nothing = json!({ "status": "success", "result": null });
    for (revision, code, body) in [(2, 404, json!(page)), (3, 200, nothing)] {
        let rule = json!({ "kind": "status", "method": "PUT", "code": code, "body": body, "count": 2 });
        let rule = world.sandbox.fault_rule(&rule).await?;
        let text = format!("Comes through as {revision}.");
        world.publish(&[described("villa-000", revision, &text)]).await?;
        world.taken(1, i64::try_from(revision)?).await?;
        world.drained(Duration::from_secs(60)).await?;
        assert_eq!(world.sandbox.hits(rule).await?, 2);
        assert_eq!(world.sandbox.listings(7860).await?[0]["description"], text);
    }
    let accepted = "SELECT count(*) FROM outbound_audit WHERE outcome = 'accepted'";
    assert_eq!(world.count(accepted).await?, 3, "and nobody has asked for anything");
    world.close().await
}

/// What a change of nights says nothing of is not healed by it.
#[tokio::test(flavor = "multi_thread")]
async fn refused_parts_are_shown_until_they_are_mended() -> anyhow::Result<()> {
    let world = World::new(&[7850]).await?;
    let target = world.target(7850, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    world.link(target, &names(1)).await?;
    let refused = async || -> anyhow::Result<Vec<String>> {
        world.drained(Duration::from_secs(30)).await?;
        let parts = "SELECT part ->> 'part' FROM channel_listings, jsonb_array_elements(rejected) part ORDER BY 1";
        Ok(sqlx::query_scalar(parts).fetch_all(&world.pool).await?)
    };
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    assert!(refused().await?.is_empty());

    let mut message = unit("villa-000", 2);
    message["unit"]["amenities"][1] = json!("teleporter");
    world.publish(&[message.clone()]).await?;
    world.taken(1, 2).await?;
    assert_eq!(refused().await?, ["unit.amenities[1]"]);

    // Another price, no photo at all, and no house rules any more.
    message["revision"] = json!(3);
    message["unit"]["photos"] = json!([]);
    message["unit"]["calendar"][0]["nightly_price"] = json!(77_700);
    if let Some(fields) = message["unit"].as_object_mut() {
        fields.remove("house_rules");
    }
    world.publish(&[message]).await?;
    world.taken(1, 3).await?;
    assert_eq!(refused().await?, ["listing.houseRules", "unit.amenities[1]", "unit.photos"]);

    world.publish(&[unit("villa-000", 4)]).await?;
    world.taken(1, 4).await?;
    assert!(refused().await?.is_empty());
    world.close().await
}
