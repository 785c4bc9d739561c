//! Readiness tells what answers now: a server that hangs keeps its connections.

use std::time::{Duration, Instant};

use end_to_end::api::Api;
use end_to_end::nats_server::NatsServer;
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, World};
use rustix::process::Signal;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_that_hangs_is_told_within_seconds_and_when_it_answers_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = NatsServer::start(folder.path()).await?;
    let world = World::begin(Beginning { nats_url: Some(nats.url()), ..Beginning::default() }, &[8107]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let ready = api.get("/health/ready").await?.expect(200)?.json();
    assert_eq!(ready["nats"], json!(true), "{ready}");

    nats.process.signal(Signal::STOP)?;
    // What was heard last holds for a second.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let asked = Instant::now();
    let ready = api.get("/health/ready").await?.expect(200)?.json();
    assert_eq!((&ready["nats"], &ready["ready"]), (&json!(false), &json!(true)), "{ready}");
    assert!(asked.elapsed() < Duration::from_secs(6), "readiness took {:?}", asked.elapsed());
    // Whoever comes next is told what was just heard: to ask NATS again would take two seconds each time.
    let asked = Instant::now();
    for _ in 0..5 {
        let again = api.get("/health/ready").await?.expect(200)?.json();
        assert_eq!(again, ready);
    }
    assert!(asked.elapsed() < Duration::from_secs(6), "five more took {:?}", asked.elapsed());

    nats.process.signal(Signal::CONT)?;
    wait_until("NATS answers again", Duration::from_secs(60), || async {
        let ready = api.get("/health/ready").await?.json();
        Ok(if ready["nats"] == json!(true) { Ok(()) } else { Err(ready.to_string()) })
    })
    .await?;
    drop(service);
    world.close().await
}
