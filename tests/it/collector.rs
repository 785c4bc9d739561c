//! A collector that is away, and what the log says of it.

use std::time::Duration;

use anyhow::ensure;
use domain::window::RateLimit;
use end_to_end::otlp::Receiver;
use end_to_end::process::Process;
use end_to_end::unit::unit;
use end_to_end::wait::wait_until;
use end_to_end::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_is_told_once_and_so_is_its_return() -> anyhow::Result<()> {
    let (receiver, world) = (Receiver::grpc().await?, World::new(&[8212]).await?);
    let target = world.target(8212, RateLimit::new(100, 1_000)?).await?;
    receiver.received.be_away(true);
    let endpoint = receiver.endpoint.as_str();
    let arguments = ["serve", "--otlp-endpoint", endpoint, "--trace-ratio", "1"].map(str::to_owned);
    let mut environment = world.environment()?;
    // What takes a minute otherwise.
    environment.extend(["OTEL_BSP_SCHEDULE_DELAY", "OTEL_METRIC_EXPORT_INTERVAL"].map(|name| (name, "200".to_owned())));
    let mut service = Process::start("distribution", &arguments, &environment, &world.path("serve.log"))?;
    let logged = |words: &str, service: &Process| {
        let printed = service.printed();
        (printed.matches(words).count(), printed)
    };
    world.link(target, &["villa-000".to_owned()]).await?;
    for revision in 1..=5_u32 {
        world.publish(&[unit("villa-000", revision.into())]).await?;
        world.taken(1, revision.into()).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    wait_until("it is told", Duration::from_secs(20), || async {
        let (told, printed) = logged(" do not reach their receiver", &service);
        Ok(if told == 2 { Ok(()) } else { Err(printed) })
    })
    .await?;
    // Further exports fail, and nothing is said.
    tokio::time::sleep(Duration::from_secs(5)).await;
    receiver.received.be_away(false);
    world.publish(&[unit("villa-000", 6)]).await?;
    wait_until("its return is told", Duration::from_secs(20), || async {
        let (told, printed) = logged(" reach their receiver again", &service);
        Ok(if told == 2 { Ok(()) } else { Err(printed) })
    })
    .await?;
    ensure!(service.stop()?, "it ends by itself:\n{}", service.printed());
    let (told, printed) = logged(" do not reach their receiver", &service);
    assert_eq!(told, 2, "one of traces, one of metrics:\n{printed}");
    for noise in ["ExportError", "Export.Failed", "again and again"] {
        assert!(!printed.contains(noise), "{noise}:\n{printed}");
    }
    let mut again = printed.lines().filter(|line| line.contains(" reach their receiver again"));
    assert!(again.all(|line| !line.contains("failures=0")), "how many failed meanwhile:\n{printed}");
    drop(service);
    world.close().await
}
