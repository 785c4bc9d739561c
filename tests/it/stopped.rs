//! Attempts that are ended on our side, in the middle of their calls: each tells the one reason for that, and is no rate limit of the channel.

use std::time::Duration;

use domain::ids::ListingId;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::why::json_of;

const ACCOUNTS: [u64; 3] = [7490, 7491, 7492];
const REASONS: [&str; 3] = ["the target was paused", "the target was deleted", "the dispatcher is stopping"];

/// Waits until so many attempts have ended, and the read models know it.
async fn ended(world: &World, attempts: i64) -> anyhow::Result<()> {
    wait_until("attempts have ended", Duration::from_secs(20), || async {
        let deferred = world.count("SELECT count(*) FROM events WHERE event_type = 'SyncDeferred'").await?;
        let told = world.count("SELECT count(*) FROM outbound_audit WHERE class = 'stopped'").await?;
        let done = deferred == attempts && told == attempts;
        Ok(if done { Ok(()) } else { Err(format!("{deferred}, {told} of them stopped, as the audit has them")) })
    })
    .await
}

/// What an explanation says of the first attempt.
fn explained(world: &World, listing: ListingId, reason: &str) -> anyhow::Result<()> {
    let (_, told) = json_of(world, &["explain", &listing.to_string()])?;
    let attempt = &told["sync"]["attempts"][0];
    let detail = json!(format!("no further calls are made: {reason}"));
    assert_eq!((&attempt["class"], &attempt["detail"]), (&json!("stopped"), &detail), "{told:#}");
    let rules = told["rules"].as_array().cloned().unwrap_or_default();
    let retried: Vec<&Value> = rules.iter().filter(|rule| rule["rule"] == "retried").collect();
    assert_eq!(retried.iter().map(|rule| &rule["class"]).collect::<Vec<_>>(), [&json!("stopped")], "{told:#}");
    let words = told["words"].to_string();
    for said in ["An attempt was stopped; the next was due ", " and was stopped: no further calls are made: "] {
        assert!(words.contains(said), "{said}: {words}");
    }
    let others = REASONS.iter().filter(|other| **other != reason);
    assert!(others.chain(&["throttled"]).all(|untrue| !words.contains(untrue)), "{words}");
    Ok(())
}

async fn audited(viewer: &Api, class: &str) -> anyhow::Result<usize> {
    let found = viewer.get(&format!("/api/channels/audit?class={class}")).await?.expect(200)?.json();
    Ok(found["items"].as_array().map_or(0, Vec::len))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_stopped_tells_why_and_is_no_rate_limit() -> anyhow::Result<()> {
    let world = World::new(&ACCOUNTS).await?;
    let (units, mut targets, mut listings) = (names(3), Vec::new(), Vec::new());
    let base = world.serve("intake,relay,projector,api")?;
    let viewer = Api::of(&base).await?.as_caller(&world, ORG, None, "viewer")?;
    // A token and a look-up are all that the window has room for: the creation waits.
    for account in ACCOUNTS {
        targets.push(world.target(account, RateLimit::new(2, 30_000)?).await?);
    }
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(3, 1).await?;
    for (target, name) in targets.iter().zip(&units) {
        listings.push(world.link(*target, std::slice::from_ref(name)).await?[0]);
    }
    let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let mut dispatcher = world.serve("dispatcher")?;
    for account in ACCOUNTS {
        wait_until("both calls were answered", Duration::from_secs(20), || async {
            let arrivals = world.sandbox.arrivals(account).await?;
            let answered = arrivals.iter().filter(|call| !call["status"].is_null()).count();
            Ok(if answered == 2 { Ok(()) } else { Err(format!("{answered} calls of account {account}")) })
        })
        .await?;
    }
    for arguments in [
        ["target", "pause", &targets[0], "--reason", "works on the roof"],
        ["target", "delete", &targets[1], "--reason", "sold"],
    ] {
        let (code, _, said) = world.run(&arguments)?;
        assert_eq!(code, 0, "{said}");
    }
    ended(&world, 2).await?;
    assert!(dispatcher.stop()?, "SIGTERM ends it well: {}", dispatcher.printed());
    ended(&world, 3).await?;

    for (listing, reason) in listings.iter().zip(REASONS) {
        explained(&world, *listing, reason)?;
    }
    assert_eq!((audited(&viewer, "stopped").await?, audited(&viewer, "throttled").await?), (3, 0));
    let page = viewer.get(&format!("/listings/{}", listings[0])).await?.expect(200)?.text;
    assert!(page.contains(">stopped</span>") && page.contains(REASONS[0]) && !page.contains("throttled"), "{page}");
    // Builds of before read it, and do the same after a rate limit.
    let older = "SELECT count(*) FROM events WHERE payload #>> '{SyncDeferred,class}' = 'throttled'
        AND payload #>> '{SyncDeferred,attempt,stopped}' = 'true'";
    assert_eq!(world.count(older).await?, 3);
    world.read_models_are_right()?;

    // What was stopped goes on, and no attempt is used up.
    for (target, command) in [(&targets[0], "rate-limit"), (&targets[2], "rate-limit"), (&targets[0], "resume")] {
        let arguments = ["target", command, target, "100/1s"];
        let (code, _, said) = world.run(&arguments[..if command == "resume" { 3 } else { 4 }])?;
        assert_eq!(code, 0, "{said}");
    }
    let _next = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(120)).await?;
    let used = "SELECT max(attempts)::bigint FROM outbound_audit WHERE outcome = 'accepted'";
    assert_eq!(world.count(used).await?, 1);
    assert_eq!((audited(&viewer, "stopped").await?, audited(&viewer, "throttled").await?), (1, 0));
    let cancelled = viewer.get("/api/channels/audit?class=stopped").await?.expect(200)?.json();
    let last = (&cancelled["items"][0]["outcome"], &cancelled["items"][0]["listing_id"]);
    assert_eq!(last, (&json!("cancelled"), &json!(listings[1].to_string())), "{cancelled}");
    drop(base);
    world.close().await
}
