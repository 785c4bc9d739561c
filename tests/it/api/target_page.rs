//! What a target's page calls its figures: each by what it counts, and nothing as well that is gone.

use std::time::Duration;

use anyhow::Context;
use domain::ids::TargetId;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::json;

use crate::why::{listed, priced, published};

/// An attempt that failed is no sync that did, and a refusal is none of either.
#[tokio::test(flavor = "multi_thread")]
async fn figures_of_a_target_are_named_by_what_they_count() -> anyhow::Result<()> {
    let world = World::new(&[8137]).await?;
    let target = world.target(8137, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    listed(&world, target, "villa-000").await?;
    world.sandbox.fault(json!({ "kind": "status", "code": 422, "account": 8137, "method": "PUT" })).await?;
    published(&world, priced("villa-000", 2, 5_002)).await?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let page = viewer.get(&format!("/targets/{target}")).await?.expect(200)?.text;
    for said in [
        "<dt>Last failure of the target</dt><dd><span class=\"quiet\">none</span>",
        "<dt>Sync attempts failed in a row</dt><dd>0</dd>",
        "A sync that is refused for what is in it is an answer of the target",
        "(changes of its health count, too)",
        // What stands around every page: who looks, and what is missing where there are no scripts.
        ">Viewer</span>",
        "<noscript><p class=\"quiet\">Times are UTC, ",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_target_is_healthy_nowhere() -> anyhow::Result<()> {
    let world = World::new(&[8138]).await?;
    let target = world.target(8138, RateLimit::new(100, 1_000)?).await?.to_string();
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let (code, printed, said) = world.run(&["target", "check", &target])?;
    assert_eq!(code, 0, "{printed}{said}");
    let deleted = |page: &str| page.matches("<span class=\"state idle\">deleted</span>").count();
    for is_deleted in [false, true] {
        if is_deleted {
            let (code, _, said) = world.run(&["target", "delete", &target, "--reason", "moved"])?;
            assert_eq!(code, 0, "{said}");
        }
        // Its health and its state.
        let wanted = if is_deleted { 2 } else { 0 };
        let list = if is_deleted { "/targets?state=deleted" } else { "/targets" };
        wait_until("pages show it", Duration::from_secs(20), || async {
            let page = viewer.get(&format!("/targets/{target}")).await?.expect(200)?.text;
            let list = viewer.get(list).await?.expect(200)?.text;
            let healthy = list.contains(&target) && list.contains("<span class=\"state good\">healthy</span>");
            let shown = deleted(&page) == wanted && deleted(&list) == wanted && healthy != is_deleted;
            Ok(if shown { Ok(()) } else { Err(format!("{page}\n{list}")) })
        })
        .await?;
        for command in [&["target", "list", "--deleted"][..], &["target", "show", &target]] {
            let (code, printed, said) = world.run(command)?;
            assert_eq!((code, printed.contains("healthy")), (0, !is_deleted), "{printed}{said}");
        }
    }
    drop(service);
    world.close().await
}

/// Why somebody cancelled a sync is none of the channel's words, and when that was is no time of an attempt.
#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_told_in_the_channels_words_also_where_a_deletion_cancelled_the_sync() -> anyhow::Result<()> {
    let world = World::new(&[8156]).await?;
    let service = world.serve("")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let wanted = json!({
        "account_id": ACCOUNT, "name": "Hostaway", "base_url": format!("{}/v1", world.sandbox.url),
        "channel_account": "8156", "secret": "mistyped", "rate_limit": "100/1s",
    });
    let key = [("idempotency-key", "one")];
    let made = owner.send(Method::POST, "/api/channels/targets", &key, Some(&wanted)).await?.expect(201)?.json();
    let target = made["target_id"].as_str().context("a target")?.to_owned();
    world.publish(&[priced("villa-000", 1, 4_000)]).await?;
    world.taken(1, 1).await?;
    world.link(target.parse::<uuid::Uuid>().map(TargetId)?, &["villa-000".to_owned()]).await?;
    wait_until("its attempt has failed", Duration::from_secs(30), || async {
        let failed = world.count("SELECT count(*) FROM outbound_audit WHERE class = 'unauthorised'").await?;
        Ok(if failed == 1 { Ok(()) } else { Err(failed.to_string()) })
    })
    .await?;
    // As if another sync's call for the token had been refused: it came to no call of its own.
    sqlx::query("DELETE FROM outbound_attempts").execute(&world.pool).await?;
    let told = async || -> anyhow::Result<(String, String)> {
        let page = owner.get(&format!("/targets/{target}")).await?.expect(200)?.text;
        let failed = page.split_once("Failed as").context("attempts that failed")?.1;
        let (failed, ends) = failed.split_once("Syncs stand as").context("how syncs ended")?;
        Ok((failed.to_owned(), ends.to_owned()))
    };
    let (before, _) = told().await?;
    assert!(before.contains("HTTP 401"), "{before}");
    let (code, _, said) = world.run(&["target", "delete", &target, "--reason", "the contract ended"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    let (after, ends) = told().await?;
    assert_eq!(after, before, "neither its words nor its time are those of the deletion");
    assert!(ends.contains("the contract ended"), "{ends}");
    // What is told of its health beside `deleted` is of the deletion, too.
    let (_, printed, _) = world.run(&["target", "health", &target])?;
    let line = |name: &str| printed.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(line("reason").contains("the contract ended"), "{printed}");
    let before = line("health before");
    assert!(before.contains("unauthorised since ") && before.contains("401"), "{printed}");
    drop(service);
    world.close().await
}
