//! More pages at once than the pool has connections: each asks for one at a time, so that none waits for another one that waits.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::names;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use futures::future::try_join_all;

/// Three times the connections.
const PAGES: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_listing_at_once_do_not_wait_for_each_others_connections() -> anyhow::Result<()> {
    let world = World::new(&[8206]).await?;
    let target = world.target(8206, RateLimit::default()).await?;
    let listing = world.link(target, &names(1)).await?[0];
    let service = world.serve_with("api,projector", &["--pool", "8", "--api-rate", "10000"])?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let path = format!("/listings/{listing}");
    wait_until("it is shown", Duration::from_secs(20), || async {
        let status = api.get(&path).await?.status.as_u16();
        Ok(if status == 200 { Ok(()) } else { Err(status.to_string()) })
    })
    .await?;
    // All readers wait for it, and go on at once.
    let mut queue = world.pool.begin().await?;
    sqlx::query("LOCK TABLE sync_queue IN ACCESS EXCLUSIVE MODE").execute(&mut *queue).await?;
    let pages = (0..PAGES).map(|_| {
        let (api, path) = (api.clone(), path.clone());
        tokio::spawn(async move { api.get(&path).await?.expect(200) })
    });
    let pages = try_join_all(pages.collect::<Vec<_>>());
    tokio::time::sleep(Duration::from_secs(2)).await;
    queue.rollback().await?;
    let shown = tokio::time::timeout(Duration::from_secs(10), pages).await??;
    for page in shown {
        page?;
    }
    drop(service);
    world.close().await
}
