//! What is asked for while NATS is away: the journal carries it to the channel.

use std::time::{Duration, Instant};

use adapters::nats::topology::StreamKind;
use domain::ids::ListingId;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::nats_server::NatsServer;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, ORG, World};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

/// Three syncs, one after the other, over longer than it takes to miss a heartbeat of NATS: each is soon at the channel.
async fn syncs_get_through(world: &World, api: &Api, listing: ListingId) -> anyhow::Result<()> {
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let arrived = world.sandbox.arrivals(8340).await?.len();
        let asked = json!({ "reason": "while NATS is away" });
        api.post(&format!("/api/channels/listings/{listing}/sync"), &asked).await?.expect(202)?;
        world.drained(Duration::from_secs(10)).await?;
        assert!(world.sandbox.arrivals(8340).await?.len() > arrived, "it was sent");
    }
    Ok(())
}

/// Who asks for dead letters is soon told that they cannot be reached.
async fn dead_letters_are_out_of_reach(api: &Api) -> anyhow::Result<()> {
    let list = "/api/channels/dead-letters";
    for (method, path) in [(Method::GET, list.to_owned()), (Method::DELETE, format!("{list}/1"))] {
        let began = Instant::now();
        api.send(method, &path, &[], None).await?.expect(503)?;
        assert!(began.elapsed() < Duration::from_secs(5), "{path} took {:?}", began.elapsed());
    }
    let found = api.get("/search?q=4bf92f3577b34da6a3ce929d0e0e4736").await?.expect(200)?.text;
    assert!(found.contains("Dead letters could not be looked through now"), "{found}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_reach_the_channel_while_nats_is_frozen_or_gone_and_the_streams_have_them_later() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut nats = NatsServer::start(folder.path()).await?;
    let world = World::begin(Beginning { nats_url: Some(nats.url()), ..Beginning::default() }, &[8340]).await?;
    let target = world.target(8340, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &names(1)).await?[0];
    world.drained(Duration::from_secs(60)).await?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;

    nats.process.signal(Signal::STOP)?;
    dead_letters_are_out_of_reach(&api).await?;
    syncs_get_through(&world, &api, listing).await?;
    nats.process.signal(Signal::CONT)?;
    nats.process.kill();
    dead_letters_are_out_of_reach(&api).await?;
    syncs_get_through(&world, &api, listing).await?;

    nats.run().await?;
    wait_until("the stream has the whole journal", Duration::from_secs(60), || async {
        let events = world.count("SELECT count(*) FROM events").await?;
        let published = match world.nats.stream(StreamKind::Channels).await {
            Ok(stream) => i64::try_from(stream.cached_info().state.messages)?,
            Err(error) => return Ok(Err(error.to_string())),
        };
        Ok(if published == events { Ok(()) } else { Err(format!("{published} of {events}")) })
    })
    .await?;
    world.publish(&[unit("villa-000", 2)]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(30)).await?;
    world.audit_is_whole().await?;
    world.close().await
}
