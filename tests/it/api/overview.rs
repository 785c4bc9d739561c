//! What the overview tells of the past, whom it calls, and where its figures lead.

use std::time::Duration;

use anyhow::Context as _;
use domain::target::{Health, TargetCommand};
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::{described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use serde_json::{Value, json};
use uuid::Uuid;

/// A line of a plot: its value at the end of each minute, the newest first.
fn line(page: &str, plot: &str, name: &str) -> anyhow::Result<Vec<f64>> {
    let plotted = page.split(&format!("id=\"plot-{plot}\"")).nth(1).and_then(|rest| rest.split("data-plot=\"").nth(1));
    let plotted = plotted.and_then(|rest| rest.split('"').next()).context("a plot")?.replace("&quot;", "\"");
    let plotted: Value = serde_json::from_str(&plotted)?;
    let series = plotted["series"].as_array().context("lines")?;
    let at = series.iter().position(|line| line["name"] == name).with_context(|| format!("no line {name}"))?;
    let values = plotted["data"][at + 1].as_array().context("values")?;
    Ok(values.iter().rev().map(|value| value.as_f64().unwrap_or(-1.0)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_was_stays_in_the_plot_when_it_is_deleted() -> anyhow::Result<()> {
    let world = World::new(&[8135]).await?;
    let target = world.target(8135, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("api,relay,projector")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let degraded =
        TargetCommand::ReportHealth { health: Health::Degraded, reason: "slow".to_owned(), credential_epoch: 0 };
    world.commands().target(target, degraded, &world.metadata(target)?).await?;
    world.drained(Duration::from_secs(30)).await?;
    // It was made an hour ago, and degraded half an hour ago.
    for moved in [
        "UPDATE channel_targets SET created_at = created_at - interval '60 minutes'",
        "UPDATE target_health_changes SET at = at - interval '30 minutes'",
    ] {
        sqlx::query(moved).execute(&world.pool).await?;
    }
    let told = async || {
        let page = viewer.get("/").await?.expect(200)?.text;
        let (unknown, degraded) = (line(&page, "health", "unknown")?, line(&page, "health", "degraded")?);
        let at = |minutes_ago: usize| (unknown[minutes_ago], degraded[minutes_ago]);
        anyhow::Ok((at(90), at(45), at(15), at(0)))
    };
    assert_eq!(told().await?, ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 1.0)));
    let (code, _, said) = world.run(&["target", "delete", &target.to_string(), "--reason", "sold"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(told().await?, ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)));
    drop(service);
    world.close().await
}

/// Eight are shown.
#[tokio::test(flavor = "multi_thread")]
async fn more_targets_that_need_somebody_than_are_shown_are_counted() -> anyhow::Result<()> {
    let world = World::new(&[8137]).await?;
    let service = world.serve("api,relay,projector")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    for (targets, more) in [(8, None), (2, Some("And 2 more targets: "))] {
        for _ in 0..targets {
            let target = world.target(8137, RateLimit::new(100, 1_000)?).await?;
            let pause = TargetCommand::Pause { reason: "not now".to_owned() };
            world.commands().target(target, pause, &world.metadata(target)?).await?;
        }
        world.drained(Duration::from_secs(30)).await?;
        let page = viewer.get("/").await?.expect(200)?.text;
        assert_eq!(page.matches("id=\"target-").count(), 8, "{page}");
        assert_eq!(page.contains(" more target"), more.is_some(), "{page}");
        assert!(more.is_none_or(|more| page.contains(more)), "{page}");
    }
    drop(service);
    world.close().await
}

/// The one address on a page that begins so.
fn lead(page: &str, begins: &str) -> anyhow::Result<String> {
    let all = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let like = all.filter(|lead| lead.starts_with(begins)).map(|lead| lead.replace("&amp;", "&"));
    let mut found: Vec<String> = like.collect();
    found.dedup();
    anyhow::ensure!(found.len() == 1, "{found:?} begin with {begins}: {page}");
    Ok(found.remove(0))
}

/// The syncs in the table of a page.
fn syncs(page: &str) -> Vec<Uuid> {
    let ids = page.split("data-sync=\"").skip(1).filter_map(|rest| rest.split('"').next());
    ids.filter_map(|id| id.parse().ok()).collect()
}

/// Of two units one is refused, and one is taken after a 429. Gives the syncs of these, and the target.
async fn refused_and_throttled(world: &World, account: u64) -> anyhow::Result<([Uuid; 2], String)> {
    let target = world.target(account, RateLimit::new(100, 1_000)?).await?;
    let units = names(2);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(2, 1).await?;
    world.link(target, &units).await?;
    world.drained(Duration::from_secs(30)).await?;
    let refusal = json!({ "kind": "status", "code": 422, "account": account, "method": "PUT" });
    let limit = json!({ "kind": "rate_limited", "retry_after_s": 1, "account": account, "method": "PUT", "count": 1 });
    for (taken, (name, fault)) in (1..).zip(units.iter().zip([refusal, limit])) {
        world.sandbox.fault(fault).await?;
        world.publish(&[described(name, 2, "It has a pool.")]).await?;
        world.taken(taken, 2).await?;
        world.drained(Duration::from_secs(60)).await?;
        world.sandbox.heal().await?;
    }
    let newest = "SELECT sync_id FROM outbound_audit WHERE revision = 2 ORDER BY unit_id";
    let newest: Vec<Uuid> = sqlx::query_scalar(newest).fetch_all(&world.pool).await?;
    let newest: [Uuid; 2] = newest.try_into().map_err(|other| anyhow::anyhow!("two syncs, not {other:?}"))?;
    Ok((newest, target.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_lead_to_the_syncs_and_listings_behind_them() -> anyhow::Result<()> {
    let world = World::new(&[8136]).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let ([refused, throttled], target) = refused_and_throttled(&world, 8136).await?;
    let page = async |path: &str| anyhow::Ok(viewer.get(path).await?.expect(200)?.text);
    let overview = page("/").await?;
    let figures = overview.split("Service levels").next().unwrap_or_default();
    let throttled_lately = "/audit?class=throttled&amp;called_since=";
    for (begins, sync) in [("/audit?outcome=failed&amp;ended_since=", refused), (throttled_lately, throttled)] {
        assert_eq!(syncs(&page(&lead(figures, begins)?).await?), [sync], "{begins}");
    }
    let of_no_sync = "Calls of health checks and of looks for drift are no sync's";
    assert!(page(&lead(figures, throttled_lately)?).await?.contains(of_no_sync));
    // What ended long ago, or was called, is not what is counted.
    let later = (chrono::Utc::now() + chrono::TimeDelta::minutes(1)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    for of_then in ["outcome=failed&ended_since", "class=throttled&called_since", "called_since"] {
        assert!(syncs(&page(&format!("/audit?{of_then}={later}")).await?).is_empty(), "{of_then}");
    }
    let all = page("/audit?called_since=2026-01-01").await?;
    assert_eq!(syncs(&all).len(), 4, "each sync made a call");
    let levels = overview.split("Service levels").nth(1).and_then(|rest| rest.split("What needs somebody").next());
    let levels = levels.context("levels")?;
    assert_eq!(syncs(&page(&lead(levels, "/audit?outcome=failed")?).await?), [refused]);
    assert_eq!(syncs(&page(&lead(levels, throttled_lately)?).await?), [throttled]);
    assert_eq!(lead(levels, "/audit?cause=replayed")?, "/audit?cause=replayed");

    // The same of a target, by how an attempt failed and by how syncs ended.
    let of_target = page(&format!("/targets/{target}")).await?;
    for (field, value, sync) in
        [("class", "rejected", refused), ("class", "throttled", throttled), ("outcome", "rejected", refused)]
    {
        let led = lead(&of_target, &format!("/audit?target_id={target}&amp;{field}={value}"))?;
        assert_eq!(syncs(&page(&led).await?), [sync], "{led}");
    }
    let list = format!("/api/channels/audit?target_id={target}&");
    let lately = "class=throttled&called_since=2026-01-01T00:00:00Z";
    for (filter, sync) in [("outcome=failed", refused), ("class=throttled", throttled), (lately, throttled)] {
        assert_eq!(viewer.pages(&format!("{list}{filter}"), "sync_id").await?, [vec![json!(sync)]], "{filter}");
        let exported = viewer.get(&format!("/api/channels/audit/export?{filter}")).await?.expect(200)?.text;
        assert!(exported.lines().count() == 1 && exported.contains(&sync.to_string()), "{exported}");
    }
    let unknown = viewer.get(&format!("{list}class=bad")).await?.expect(400)?.json();
    assert_eq!(unknown["field"], "class");

    // What waits.
    world.run(&["target", "pause", &target, "--reason", "works on the roof"])?;
    world.publish(&[described("villa-001", 3, "It has two.")]).await?;
    world.waits(3).await?;
    let overview = page("/").await?;
    let figures = overview.split("Service levels").next().unwrap_or_default();
    let leads = [lead(figures, "/listings?outcome=pending")?, lead(figures, "/targets?state=paused")?];
    // The queue, the listings and the targets are read models of their own.
    wait_until("what waits is listed, and its target", Duration::from_secs(10), || async {
        let (waiting, paused) = (page(&leads[0]).await?, page(&leads[1]).await?);
        let told = waiting.contains("villa-001") && !waiting.contains("villa-000") && paused.contains(&target);
        Ok(if told { Ok(()) } else { Err(format!("{waiting} {paused}")) })
    })
    .await?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_somebody_is_named_with_the_way_to_it() -> anyhow::Result<()> {
    let world = World::new(&[8137]).await?;
    let service = world.serve("")?;
    let anybody = Api::of(&service).await?;
    let viewer = anybody.as_caller(&world, ORG, None, "viewer")?;
    let of_account = anybody.as_caller(&world, ORG, Some(ACCOUNT), "viewer")?;
    let elsewhere = anybody.as_caller(&world, "elsewhere", None, "viewer")?;
    let attention = async |api: &Api| {
        let page = api.get("/").await?.expect(200)?.text;
        let part = page.split("id=\"attention\"").nth(1).and_then(|rest| rest.split("id=\"recent\"").next());
        Ok::<_, anyhow::Error>(part.context("a part of the page")?.to_owned())
    };
    let calm = "Nothing else waits for somebody.";
    assert!(attention(&viewer).await?.contains(calm));
    refused_and_throttled(&world, 8137).await?;
    let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &"villa-009".parse()?);
    world.publish_raw(subject, b"{}".to_vec()).await?;
    // The levels are some seconds old, and so may the count of letters be.
    let letter = "<a href=\"/dead-letters\">1 dead letter</a> waits to be decided about.";
    let broken = ">fewer than 1 % of syncs fail in a day</a>.";
    let told = wait_until("the letter and the broken level are told", Duration::from_secs(30), || async {
        let told = attention(&viewer).await?;
        Ok(if told.contains(letter) && told.contains(broken) { Ok(told) } else { Err(told) })
    })
    .await?;
    assert!(told.contains(">1 listing</a>: the last sync failed") && !told.contains(calm), "{told}");
    let listings = viewer.get(&lead(&told, "/listings?state=active")?).await?.expect(200)?.text;
    assert!(listings.contains("villa-000") && !listings.contains("villa-001"), "{listings}");
    assert!(lead(&told, "/audit?outcome=failed")?.contains("ended_since="), "{told}");
    // A letter names no account for certain, and nothing of this is anybody else's.
    let told = attention(&of_account).await?;
    assert!(told.contains(">1 listing</a>") && !told.contains("dead letter"), "{told}");
    assert!(attention(&elsewhere).await?.contains(calm));
    drop(service);
    world.close().await
}
