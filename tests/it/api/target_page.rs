//! What a target's page calls its figures: each by what it counts, and nothing as well that is gone.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
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
