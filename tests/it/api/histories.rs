//! What pages tell of long histories: as much of the past as there is, and what somebody changed beside what changes by itself.

use std::time::Duration;

use chrono::{Days, NaiveDate};
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::{described, unit};
use end_to_end::world::{ORG, World};
use serde_json::json;
use uuid::Uuid;

/// Appends events to an aggregate, each by its number from 1.
async fn append(world: &World, id: Uuid, count: i64, event_type: &str, payload: &str) -> anyhow::Result<()> {
    sqlx::query(&format!(
        "INSERT INTO events (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type,
                             event_version, payload, metadata)
         SELECT gen_random_uuid(), e.org_id, e.account_id, e.aggregate_type, e.aggregate_id, e.sequence + n,
                {event_type}, '1.0', {payload}, e.metadata
         FROM (SELECT * FROM events WHERE aggregate_id = $1 ORDER BY sequence DESC LIMIT 1) AS e,
              generate_series(1, $2::bigint) AS n"
    ))
    .bind(id.to_string())
    .bind(count)
    .execute(&world.pool)
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_the_past_is_right_however_long_the_history_is() -> anyhow::Result<()> {
    const MORE: i64 = 20_500;
    let world = World::new(&[8180]).await?;
    let target = world.target(8180, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.drained(Duration::from_secs(30)).await?;
    drop(service);
    let external: String =
        sqlx::query_scalar("SELECT external_id FROM channel_listings").fetch_one(&world.pool).await?;
    let before = world.count("SELECT max(sequence) FROM events WHERE aggregate_type = 'ChannelListing'").await?;
    // Paused by every odd one, resumed by every even one.
    let event_type = "CASE n % 2 WHEN 1 THEN 'ListingPaused' ELSE 'ListingResumed' END";
    let payload = "CASE n % 2 WHEN 1 THEN jsonb '{\"ListingPaused\": {\"reason\": \"test\"}}'
        ELSE jsonb '{\"ListingResumed\": {}}' END";
    append(&world, listing.0, MORE, event_type, payload).await?;

    let service = world.serve("api")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    for (further, state) in [(MORE - 1, "paused"), (MORE, "active"), (0, "active")] {
        let path = format!("/listings/{listing}/at/{}", before + further);
        let page = owner.get(&path).await?.expect(200)?.text;
        let then = page.split("The listing then").nth(1).unwrap_or_default();
        assert!(then.contains(&format!("<dd>{external}</dd>")) && !then.contains("not created yet"), "{path}: {then}");
        assert!(then.contains(&format!(">{state}</span>")), "{path}: {then}");
        assert!(then.contains("What was wanted then"), "{path}: {then}");
    }
    owner.get(&format!("/listings/{listing}/at/{}", before + MORE + 1)).await?.expect(404)?;
    owner.get(&format!("/listings/{listing}/at/0")).await?.expect(404)?;
    for (path, field, right) in [
        (format!("/listings/{listing}/at/abc"), "sequence", "is a number"),
        (format!("/listings/{listing}/at/9223372036854775808"), "sequence", "is a number"),
        ("/listings/abc/at/1".to_owned(), "listing_id", "is a UUID"),
    ] {
        let answer = owner.get(&path).await?.expect(400)?;
        assert!(answer.header("content-type").starts_with("text/html"), "{path}: {}", answer.text);
        let named = answer.text.contains(&format!("<code>{field}</code>")) && answer.text.contains(right);
        assert!(named, "{path}: {}", answer.text);
    }
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_health_changes_all_the_time_keeps_the_history_of_its_settings() -> anyhow::Result<()> {
    let world = World::new(&[8181]).await?;
    let target = world.target(8181, RateLimit::new(100, 1_000)?).await?;
    let payload = "jsonb_build_object('HealthChanged', jsonb_build_object('reason', 'test',
        'from', CASE n % 2 WHEN 1 THEN 'unknown' ELSE 'healthy' END, 'to', CASE n % 2 WHEN 1 THEN 'healthy' ELSE 'unknown' END))";
    append(&world, target.0, 200, "'HealthChanged'", payload).await?;
    let service = world.serve("api")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let page = viewer.get(&format!("/targets/{target}")).await?.expect(200)?.text;
    let changed = page.split("What was changed").nth(1).unwrap_or_default();
    assert!(changed.contains("Made, with a limit of 100/1s"), "{changed}");
    drop(service);
    world.close().await
}

/// A channel has what it took, and of what nobody knows nobody says that it has it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_channel_had_is_shown_as_it_was_as_far_as_it_is_known() -> anyhow::Result<()> {
    let world = World::new(&[8182]).await?;
    let target = world.target(8182, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    world.publish(&[described("villa-000", 1, "It has a pool.")]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.drained(Duration::from_secs(30)).await?;
    let newest = "SELECT max(sequence) FROM events WHERE aggregate_type = 'ChannelListing'";
    let first = world.count(newest).await?;
    // Nobody hears what became of the second one's call; the attempt after it finds out.
    let lost =
        json!({ "kind": "cut_after", "account": 8182, "method": "PUT", "path_prefix": "/v1/listings", "count": 1 });
    world.sandbox.fault(lost).await?;
    world.publish(&[described("villa-000", 2, "It has two pools.")]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(60)).await?;
    let second = world.count(newest).await?;
    let deferred = world.count("SELECT max(sequence) FROM events WHERE event_type = 'SyncDeferred'").await?;
    let had = async |sequence: i64| {
        let page = viewer.get(&format!("/listings/{listing}/at/{sequence}")).await?.expect(200)?.text;
        let part = page.split("What the channel had").nth(1).and_then(|rest| rest.split("What was wanted then").next());
        Ok::<_, anyhow::Error>(part.unwrap_or_default().to_owned())
    };
    let (before, between, after) = (had(first).await?, had(deferred).await?, had(second).await?);
    assert!(before.contains("<dt>description</dt><dd>It has a pool.</dd>"), "{before}");
    assert!(before.contains("What one that was under way had written is not among it."), "{before}");
    assert!(before.contains("<summary>availability</summary>") && before.contains("isAvailable"), "{before}");
    assert!(after.contains("<dd>It has two pools.</dd>") && !after.contains("as far as it is known"), "{after}");
    assert!(between.contains("<summary>content, as far as it is known</summary>"), "{between}");
    assert!(between.contains("of which nobody knows what it wrote") && between.contains("a pool."), "{between}");
    assert!(!between.contains("two pools"), "{between}");
    assert!(had(1).await?.contains("Nothing that is known"), "nothing was sent by then");

    sqlx::query("DELETE FROM unit_snapshots WHERE revision = 1").execute(&world.pool).await?;
    let gone = had(first).await?;
    assert!(gone.contains("<summary>content, not known</summary>"), "{gone}");
    assert!(gone.contains("What was sent cannot be shown: there is no unit snapshot"), "{gone}");
    drop(service);
    world.close().await
}

/// Nights that are past by now were ahead once: what the channel had of them is shown as it was, however many they are.
#[tokio::test(flavor = "multi_thread")]
async fn the_nights_that_were_ahead_at_an_event_are_shown_when_they_are_past() -> anyhow::Result<()> {
    let world = World::new(&[8183]).await?;
    let target = world.target(8183, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let first: NaiveDate = "2020-01-01".parse()?;
    let night = |number: u64| (first + Days::new(number)).to_string();
    let priced = |number: u64| {
        let price = 10_000 + 100 * number;
        json!({ "first_night": night(number), "last_night": night(number), "available": true, "nightly_price": price })
    };
    let mut message = unit("villa-000", 1);
    message["unit"]["calendar"] = (0..450).map(priced).collect();
    world.publish(&[message]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.drained(Duration::from_secs(60)).await?;
    let newest = "SELECT max(sequence) FROM events WHERE aggregate_type = 'ChannelListing'";
    let sequence = world.count(newest).await?;
    let page = viewer.get(&format!("/listings/{listing}/at/{sequence}")).await?.expect(200)?.text;
    let had = page.split("What the channel had").nth(1).and_then(|rest| rest.split("What was wanted then").next());
    let had = had.unwrap_or_default();
    for number in [0, 200, 440] {
        assert!(had.contains(&format!("<td>{}</td>", night(number))), "{}: {had}", night(number));
    }
    drop(service);
    world.close().await
}
