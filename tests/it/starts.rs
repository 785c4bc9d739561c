//! Starts while something is not there yet.

use std::time::Duration;

use async_nats::connection::State;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::nats_server::NatsServer;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, World};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_while_nats_is_away_serves_without_it_and_works_when_it_comes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut nats = NatsServer::start(folder.path()).await?;
    let world = World::begin(Beginning { nats_url: Some(nats.url()), ..Beginning::default() }, &[8330]).await?;
    let target = world.target(8330, RateLimit::new(100, 1_000)?).await?;
    nats.process.kill();
    std::fs::remove_dir_all(nats.store())?;

    let mut service = world.serve("")?;
    let api = Api::of(&service).await?;
    api.get("/health/live").await?.expect(204)?;
    let ready = api.get("/health/ready").await?.expect(200)?.json();
    assert_eq!((&ready["ready"], &ready["nats"]), (&json!(true), &json!(false)), "{ready}");
    assert!(service.printed().contains("NATS is away"), "{}", service.printed());

    let mut other = world.serve("intake,relay,projector,dispatcher")?;
    wait_until("the other one serves", Duration::from_secs(30), || async {
        let printed = other.printed();
        Ok(if printed.contains(": serving") { Ok(()) } else { Err(printed) })
    })
    .await?;
    assert!(other.stopped().await?, "who waits for NATS can be stopped: {}", other.printed());

    nats.run().await?;
    wait_until("the streams are there", Duration::from_secs(60), || async {
        if world.nats.client.connection_state() != State::Connected {
            return Ok(Err("the test is not connected".to_owned()));
        }
        Ok(match world.nats.differences().await {
            Ok(differences) if differences.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.link(target, &names(1)).await?;
    world.drained(Duration::from_secs(60)).await?;
    assert_eq!(world.sandbox.listings(8330).await?.len(), 1);
    assert_eq!(api.get("/health/ready").await?.expect(200)?.json()["nats"], true);
    assert!(service.ended()?.is_none(), "{}", service.printed());
    world.close().await
}
