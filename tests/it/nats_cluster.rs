//! NATS as a cluster of three, each stream on all of them: one leader after the other dies under load and comes back without its
//! disk.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use adapters::nats::topology::StreamKind;
use anyhow::Context as _;
use async_nats::jetstream::message::StreamMessage;
use domain::window::RateLimit;
use end_to_end::nats_server;
use end_to_end::process::Process;
use end_to_end::unit::{described, names};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, World};
use serde_json::Value;
use services::relay::{POSITION, PREVIOUS_POSITION, position_header};
use uuid::Uuid;

const NAMES: [&str; 3] = ["one", "two", "three"];
/// A client that has no answer by then asks again: while a cluster elects there is nobody to answer.
const PATIENCE: Duration = Duration::from_secs(60);

struct Cluster {
    folder: tempfile::TempDir,
    program: PathBuf,
    clients: [u16; 3],
    routes: [u16; 3],
    servers: [Option<Process>; 3],
}

impl Cluster {
    async fn start() -> anyhow::Result<Self> {
        let ports = nats_server::free_ports::<6>()?;
        let (clients, routes) = ([ports[0], ports[1], ports[2]], [ports[3], ports[4], ports[5]]);
        let mut cluster = Self {
            folder: tempfile::tempdir()?,
            program: nats_server::program()?,
            clients,
            routes,
            servers: [None, None, None],
        };
        for index in 0..3 {
            cluster.run(index)?;
        }
        nats_server::ready(&cluster.url()).await.with_context(|| cluster.printed())?;
        Ok(cluster)
    }

    /// The end of what each server says.
    fn printed(&self) -> String {
        let printed = NAMES.iter().zip(&self.servers).map(|(name, server)| {
            let printed = server.as_ref().map(Process::printed).unwrap_or_default();
            let lines: Vec<&str> = printed.lines().collect();
            format!("{name}:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"))
        });
        printed.collect::<Vec<_>>().join("\n")
    }

    fn url(&self) -> String {
        self.clients.map(|port| format!("nats://127.0.0.1:{port}")).join(",")
    }

    fn run(&mut self, index: usize) -> anyhow::Result<()> {
        let routes = self.routes.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        // By a name of its own no other cluster takes a route of it for its own.
        let (name, route) = (self.routes[0], self.routes[index]);
        let cluster = format!("cluster {{ name: of-{name}, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}\n");
        let (folder, port) = (self.folder.path(), self.clients[index]);
        self.servers[index] = Some(nats_server::start(&self.program, folder, NAMES[index], port, &cluster)?);
        Ok(())
    }

    /// kill -9 of the leader of a stream, whose disk goes with it.
    async fn lose_leader(&mut self, world: &World, kind: StreamKind) -> anyhow::Result<usize> {
        let info = world.nats.stream(kind).await?.info().await?.clone();
        let leader = info.cluster.and_then(|cluster| cluster.leader).context("the stream has a leader")?;
        let index = NAMES.iter().position(|name| *name == leader).context("the leader is one of three")?;
        drop(self.servers[index].take());
        std::fs::remove_dir_all(self.folder.path().join(NAMES[index]))?;
        Ok(index)
    }
}

/// Publishes until the cluster has it on two disks, as a publisher does that must not lose anything.
async fn publish(world: &World, message: &Value, again: &AtomicUsize) -> anyhow::Result<()> {
    let began = Instant::now();
    while let Err(error) = world.publish(std::slice::from_ref(message)).await {
        anyhow::ensure!(began.elapsed() < PATIENCE, "not taken in {PATIENCE:?}: {error:#}");
        again.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_a_cluster_that_loses_a_leader_with_its_disk_loses_no_change() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let world =
        World::begin(Beginning { nats_url: Some(cluster.url()), replicas: Some(3), ..Beginning::default() }, &[8400])
            .await?;
    for kind in StreamKind::ALL {
        let info = world.nats.stream(kind).await?.info().await?.clone();
        assert_eq!(info.config.num_replicas, 3, "{}", info.config.name);
    }
    let target = world.target(8400, RateLimit::new(100, 1_000)?).await?;
    // Without being told how many there are it leaves the streams as they are.
    let _service = world.serve("")?;
    let units = names(40);
    let again = AtomicUsize::new(0);
    for name in &units {
        publish(&world, &described(name, 1, "first"), &again).await?;
    }
    world.taken(40, 1).await?;
    world.link(target, &units).await?;
    let broken = AtomicBool::new(false);
    // As long as a server may be missing.
    let publishing = async {
        let mut revision = 1;
        while !broken.load(Ordering::Relaxed) {
            revision += 1;
            for name in &units {
                publish(&world, &described(name, revision, &format!("revision {revision}")), &again).await?;
                tokio::time::sleep(Duration::from_millis(80)).await;
            }
        }
        anyhow::Ok(revision)
    };
    let breaking = async {
        for kind in [StreamKind::Units, StreamKind::Channels, StreamKind::Audit] {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let lost = cluster.lose_leader(&world, kind).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            cluster.run(lost)?;
            in_step(&world).await?;
        }
        broken.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let (revision, ()) = futures::try_join!(publishing, breaking)?;
    assert!(revision > 1, "nothing was published meanwhile");
    let described = format!("revision {revision}");
    wait_until("the last revision of each is at the channel", Duration::from_secs(120), || async {
        let listings = world.sandbox.listings(8400).await?;
        let last = listings.iter().filter(|listing| listing["description"] == described).count();
        Ok(if last == 40 { Ok(()) } else { Err(format!("{last} of {}", listings.len())) })
    })
    .await?;
    assert_eq!(world.sandbox.listings(8400).await?.len(), 40, "no listing twice");
    assert_eq!(world.sandbox.account(8400).await?["duplicate_references"], 0);
    world.drained(Duration::from_secs(60)).await?;
    world.audit_is_whole().await?;
    streams_are_the_journal(&world).await?;
    println!("{} publications were asked for again", again.load(Ordering::Relaxed));
    world.close().await
}

/// Two of three are gone, so nobody leads. Who starts then works without streams, as beside a NATS that is away.
#[tokio::test(flavor = "multi_thread")]
async fn heavy_who_starts_beside_a_cluster_without_a_leader_serves_and_has_its_streams_later() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let world =
        World::begin(Beginning { nats_url: Some(cluster.url()), replicas: Some(3), ..Beginning::default() }, &[8401])
            .await?;
    drop(cluster.servers[1].take());
    drop(cluster.servers[2].take());
    let mut service = world.serve("api,dispatcher,relay,projector")?;
    let said = async |words: &'static str| {
        wait_until(words, PATIENCE, || async {
            let log = service.printed();
            Ok(if log.contains(words) { Ok(()) } else { Err(log) })
        })
        .await
    };
    said("NATS is there, and its JetStream is not ready").await?;
    said(": serving").await?;
    wait_until("the doctor calls it by its name", PATIENCE, || async {
        let (_, printed, _) = world.run(&["--output", "json", "doctor"])?;
        let told: Value = serde_json::from_str(&printed)?;
        let found = told["checks"].as_array().into_iter().flatten().find(|found| found["check"] == "jetstream");
        let detail = found.and_then(|found| found["detail"].as_str()).unwrap_or_default();
        Ok(if detail.starts_with("its cluster has no leader now") { Ok(()) } else { Err(printed) })
    })
    .await?;
    cluster.run(1)?;
    cluster.run(2)?;
    said("NATS is there, and so are its streams").await?;
    assert_eq!(service.ended()?, None);
    drop(service);
    world.close().await
}

/// All three are there, so nothing is to be waited for.
#[tokio::test(flavor = "multi_thread")]
async fn heavy_who_asks_a_cluster_of_three_for_five_copies_is_told_the_setting_and_ends() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let world =
        World::begin(Beginning { nats_url: Some(cluster.url()), replicas: Some(3), ..Beginning::default() }, &[])
            .await?;
    let prefix = format!("{}-five", world.nats.prefix);
    let mut service = world.serve_with("api", &["--nats-prefix", &prefix, "--nats-replicas", "5"])?;
    let began = Instant::now();
    let ended = loop {
        if let Some(ended) = service.ended()? {
            break ended;
        }
        // A leader that is new takes those that it has not heard of yet for servers that are away.
        anyhow::ensure!(began.elapsed() < 2 * PATIENCE, "it goes on: {}", service.printed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let printed = service.printed();
    assert_eq!(ended.code(), Some(1), "{printed}");
    assert!(printed.contains("NATS_REPLICAS asks for 5 copies"), "{printed}");
    world.close().await
}

/// The streams of the relay have the whole journal: each event once, in order, and of its calls and ends each message once, in order.
async fn streams_are_the_journal(world: &World) -> anyhow::Result<()> {
    let journal: Vec<i64> =
        sqlx::query_scalar("SELECT position FROM events ORDER BY position").fetch_all(&world.pool).await?;
    let ids = async |sql: &str| -> anyhow::Result<BTreeSet<Uuid>> {
        let ids: Vec<Uuid> = sqlx::query_scalar(sql).fetch_all(&world.pool).await?;
        Ok(ids.into_iter().collect())
    };
    let calls = ids("SELECT request_id FROM outbound_attempts").await?;
    let jobs = ids("SELECT sync_id FROM outbound_audit").await?;
    let (channels, audit) = wait_until("the relay has told all of it", PATIENCE, || async {
        let (channels, audit) = (world.messages(StreamKind::Channels).await?, world.messages(StreamKind::Audit).await?);
        let least = calls.len() + jobs.len();
        Ok(if channels.len() >= journal.len() && audit.len() >= least {
            Ok((channels, audit))
        } else {
            let (events, told) = (channels.len(), audit.len());
            Err(format!("{events} of {} events, and {told} messages of {least} about calls and ends", journal.len()))
        })
    })
    .await?;
    let at = |message: &StreamMessage, name: &str| position_header(Some(&message.headers), name).unwrap_or_default().0;
    let positions: Vec<i64> = channels.iter().map(|message| at(message, POSITION)).collect();
    assert_eq!(positions, journal, "CHANNELS has each event once, in order");
    let follows = |pair: &[StreamMessage]| at(&pair[1], PREVIOUS_POSITION) == at(&pair[0], POSITION);
    assert!(channels.windows(2).all(follows), "each names the one before it");
    // The id of a message is that of its event, with its number among the messages about it.
    let number = |message: &StreamMessage| -> Option<u64> {
        message.headers.get("ce-id")?.as_str().rsplit(':').next()?.parse().ok()
    };
    let order: Vec<(i64, Option<u64>)> = audit.iter().map(|message| (at(message, POSITION), number(message))).collect();
    assert!(order.iter().all(|(_, number)| number.is_some()), "{order:?}");
    assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "AUDIT has each message once, in order: {order:?}");
    let bodies: Vec<Value> =
        audit.iter().map(|message| serde_json::from_slice(&message.payload)).collect::<Result<_, _>>()?;
    let uuid = |value: &Value| value.as_str().and_then(|id| id.parse::<Uuid>().ok());
    let told: BTreeSet<Uuid> = bodies.iter().filter_map(|body| uuid(&body["call"]["request_id"])).collect();
    assert_eq!(told, calls, "AUDIT has each call");
    let ended = bodies.iter().filter(|body| body["kind"] == "finished");
    let ended: BTreeSet<Uuid> = ended.filter_map(|body| uuid(&body["sync_id"])).collect();
    assert_eq!(ended, jobs, "AUDIT has the end of each job");
    Ok(())
}

/// Waits until every server has every stream again, so that the next one can be lost.
async fn in_step(world: &World) -> anyhow::Result<()> {
    wait_until("the server that came back has caught up", PATIENCE, || async {
        for kind in StreamKind::ALL {
            let found = match world.nats.stream(kind).await {
                Ok(mut stream) => stream.info().await.cloned().map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let current = |info: &async_nats::jetstream::stream::Info| {
                let replicas = info.cluster.as_ref().map(|cluster| cluster.replicas.as_slice()).unwrap_or_default();
                replicas.len() == 2 && replicas.iter().all(|replica| replica.current && !replica.offline)
            };
            match found {
                Ok(info) if current(&info) => {}
                Ok(info) => return Ok(Err(format!("{}: {:?}", info.config.name, info.cluster))),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(()))
    })
    .await
}
