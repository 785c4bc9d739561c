//! Starts while something is not there yet.

use std::collections::HashMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adapters::nats::owner::JOURNAL;
use adapters::nats::topology::StreamKind;
use anyhow::Context as _;
use async_nats::connection::State;
use async_nats::jetstream::stream::Config;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::nats_server::NatsServer;
use end_to_end::process::Process;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, World};
use futures::StreamExt;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

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
        Ok(match world.nats.deviations().await {
            Ok(deviations) if deviations.is_empty() => Ok(()),
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

/// Where a process shows its metrics.
async fn metrics_of(process: &Process) -> anyhow::Result<Api> {
    let base = wait_until("metrics are shown", Duration::from_secs(30), || async {
        let printed = process.printed();
        let address = printed.split("metrics are at ").nth(1).and_then(|rest| rest.split("/metrics").next());
        Ok(address.map(str::to_owned).ok_or_else(|| format!("its log says: {printed}")))
    })
    .await?;
    Api::at(base, Duration::from_secs(10))
}

async fn says(process: &Process, words: &str) -> anyhow::Result<()> {
    wait_until(&format!("its log says {words}"), Duration::from_secs(30), || async {
        let printed = process.printed();
        Ok(if printed.contains(words) { Ok(()) } else { Err(printed) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_migrate_begins_nothing_before_the_schema_is_there_and_is_not_ready() -> anyhow::Result<()> {
    let world = World::new(&[8340]).await?;
    let none = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC";
    sqlx::raw_sql(none).execute(&world.pool).await?;
    let arguments = ["--no-migrate", "--metrics-listen", "127.0.0.1:0", "--drain-s", "20"];
    let service = world.serve_with("", &arguments)?;
    let other = world.serve_with("intake,relay,projector,dispatcher,health", &arguments)?;
    let (api, metrics, others) = (Api::of(&service).await?, metrics_of(&service).await?, metrics_of(&other).await?);
    for process in [&service, &other] {
        says(process, "the schema lacks ").await?;
    }
    for at in [&api, &metrics, &others] {
        at.get("/health/live").await?.expect(204)?;
        let ready = at.get("/health/ready").await?.expect(503)?;
        let (told, again) = (ready.json(), ready.header("retry-after"));
        assert_eq!((&told["ready"], again.as_str()), (&json!(false), "1"), "{told}");
        assert!(told["reason"].as_str().is_some_and(|why| why.starts_with("the schema lacks ")), "{told}");
    }
    let told = api.get("/health/ready").await?.json();
    assert_eq!((&told["postgres"], &told["schema"]), (&json!(true), &json!(false)), "{told}");
    for path in ["/api/channels/targets", "/", "/sign-in"] {
        let refused = api.get(path).await?.expect(503)?;
        assert_eq!(refused.header("retry-after"), "1", "{path}: {}", refused.text);
    }
    others.get("/metrics").await?.expect(200)?;

    // Nobody is served who would have to hear of a stop.
    let mut third = world.serve_with("", &arguments)?;
    says(&third, "the schema lacks ").await?;
    let asked = Instant::now();
    assert!(third.stopped().await?, "{}", third.printed());
    assert!(asked.elapsed() < Duration::from_secs(10), "the stop took {:?}", asked.elapsed());
    assert!(![&service, &other, &third].iter().any(|process| process.printed().contains(": serving")));

    let (code, _, said) = world.run(&["migrate"])?;
    assert_eq!(code, 0, "{said}");
    for at in [&api, &metrics, &others] {
        wait_until("it is ready", Duration::from_secs(30), || async {
            let ready = at.get("/health/ready").await?;
            Ok(if ready.status == 200 { Ok(()) } else { Err(ready.text) })
        })
        .await?;
    }
    let target = world.target(8340, RateLimit::new(100, 1_000)?).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.link(target, &names(1)).await?;
    world.drained(Duration::from_secs(60)).await?;
    for process in [&service, &other] {
        assert!(!process.printed().contains("relation \""), "nothing was asked too early: {}", process.printed());
    }
    drop((service, other));
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_migrates_behind_a_backup_answers_probes_until_it_is_done() -> anyhow::Result<()> {
    let world = World::new(&[8341]).await?;
    // It changes the journal's table, whatever that is like already.
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 36").execute(&world.pool).await?;
    let mut backup = world.pool.begin().await?;
    sqlx::query("LOCK TABLE events IN ACCESS SHARE MODE").execute(&mut *backup).await?;
    let service = world.serve("")?;
    let api = Api::of(&service).await?;
    says(&service, "a migration waits").await?;
    api.get("/health/live").await?.expect(204)?;
    let ready = api.get("/health/ready").await?.expect(503)?.json();
    assert_eq!(ready["reason"], json!("the schema lacks 1 migration of this build"), "{ready}");
    backup.rollback().await?;
    wait_until("it is ready", Duration::from_secs(60), || async {
        let ready = api.get("/health/ready").await?;
        Ok(if ready.status == 200 { Ok(()) } else { Err(ready.text) })
    })
    .await?;
    drop(service);
    world.close().await
}

/// What is answered to who asks JetStream on a subject, and after how long; `None` is no answer.
type Answers = Arc<dyn Fn(&str) -> Option<(Duration, &'static str)> + Send + Sync>;

const NO_LEADER: &str = r#"{"error":{"code":503,"err_code":10008,"description":"no leader"}}"#;
const NO_STREAM: &str = r#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
const NO_PEERS: &str = r#"{"error":{"code":400,"err_code":10005,"description":"no suitable peers for placement"}}"#;
/// As NATS's sources have it answer. A cluster of three, one of which had stopped up to 25 s before, granted the copies instead.
const PEERS_AWAY: &str =
    r#"{"error":{"code":400,"err_code":10005,"description":"no suitable peers for placement, peer offline"}}"#;

/// Where a NATS of a cluster is whose JetStream answers so.
async fn a_nats(answers: Answers) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("nats://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(greets(client, answers.clone()));
        }
    });
    Ok(url)
}

/// Greets as a NATS of a cluster does, and answers pings and whoever asks for something.
async fn greets(client: TcpStream, asked: Answers) -> std::io::Result<()> {
    let (lines, mut answers) = client.into_split();
    let greeting = json!({
        "version": "2.12.0",
        "proto": 1,
        "headers": true,
        "max_payload": 1_048_576,
        "jetstream": true,
        "cluster": "three",
    });
    answers.write_all(format!("INFO {greeting}\r\n").as_bytes()).await?;
    let mut lines = BufReader::new(lines).lines();
    // By the inbox before its last part.
    let mut subscriptions = HashMap::new();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PING", ..] => answers.write_all(b"PONG\r\n").await?,
            ["SUB", subject, .., id] => {
                subscriptions.insert(subject.trim_end_matches('*').to_owned(), (*id).to_owned());
            }
            ["PUB" | "HPUB", subject, inbox, _, ..] => {
                let id = subscriptions.iter().find(|(of, _)| inbox.starts_with(of.as_str())).map(|(_, id)| id);
                if let (Some(id), Some((after, words))) = (id, asked(subject)) {
                    tokio::time::sleep(after).await;
                    answers.write_all(format!("MSG {inbox} {id} {}\r\n{words}\r\n", words.len()).as_bytes()).await?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_beside_a_silent_jetstream_says_so_and_answers_probes_meanwhile() -> anyhow::Result<()> {
    let world = World::new(&[]).await?;
    let url = a_nats(Arc::new(|_: &str| None)).await?;
    let mut service = world.serve_with("", &["--nats-url", &url])?;
    says(&service, "asks JetStream for the streams").await?;
    let api = Api::of(&service).await?;
    api.get("/health/live").await?.expect(204)?;
    let ready = api.get("/health/ready").await?.expect(503)?.json();
    assert_eq!(ready["reason"], json!("JetStream is asked for the streams and has not answered yet"), "{ready}");
    assert_eq!((&ready["schema"], &ready["nats"]), (&json!(true), &json!(false)), "{ready}");
    assert!(!service.printed().contains(": serving"), "{}", service.printed());
    wait_until("it is ready", Duration::from_secs(60), || async {
        let ready = api.get("/health/ready").await?;
        Ok(if ready.status == 200 { Ok(()) } else { Err(ready.text) })
    })
    .await?;
    says(&service, "its JetStream is not ready").await?;
    says(&service, ": serving").await?;
    let printed = service.printed();
    assert_eq!(printed.matches("asks JetStream for the streams").count(), 1, "it is asked once: {printed}");
    assert!(service.ended()?.is_none(), "{printed}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_beside_a_slow_jetstream_serves_before_it_has_all_answers() -> anyhow::Result<()> {
    let world = World::new(&[]).await?;
    // Each stream is looked at twice, and made.
    let url = a_nats(Arc::new(|_: &str| Some((Duration::from_secs(4), NO_STREAM)))).await?;
    let began = Instant::now();
    let service = world.serve_with("api", &["--nats-url", &url])?;
    says(&service, ": serving").await?;
    let (printed, took) = (service.printed(), began.elapsed());
    assert!(printed.contains("its JetStream is not ready") && took < Duration::from_secs(24), "{took:?}: {printed}");
    drop(service);
    world.close().await
}

/// Its exit status, once it has ended by itself.
async fn end(service: &mut Process) -> anyhow::Result<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(ended) = service.ended()? {
            return Ok(ended);
        }
        anyhow::ensure!(began.elapsed() < Duration::from_secs(30), "it goes on: {}", service.printed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_serves_without_a_leader_ends_when_it_is_told_that_it_asks_for_too_many_copies() -> anyhow::Result<()> {
    let world = World::new(&[]).await?;
    let leads = Arc::new(AtomicBool::new(false));
    let leader = leads.clone();
    let answers: Answers = Arc::new(move |subject: &str| {
        let words = if !leader.load(Ordering::Relaxed) {
            NO_LEADER
        } else if subject.contains("STREAM.CREATE") {
            NO_PEERS
        } else {
            NO_STREAM
        };
        Some((Duration::ZERO, words))
    });
    let url = a_nats(answers).await?;
    let mut service = world.serve_with("api", &["--nats-url", &url, "--nats-replicas", "3"])?;
    says(&service, ": serving").await?;
    leads.store(true, Ordering::Relaxed);
    let ended = end(&mut service).await?;
    let printed = service.printed();
    assert_eq!(ended.code(), Some(1), "{printed}");
    assert!(printed.contains("NATS_REPLICAS asks for 3 copies"), "{printed}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_one_server_for_copies_on_three_is_told_the_setting_and_ends() -> anyhow::Result<()> {
    let world = World::new(&[]).await?;
    let new = format!("{}-three", world.nats.prefix);
    // Those that are there have something else that is not as defined.
    for kind in StreamKind::ALL {
        let mut config = world.nats.stream(kind).await?.cached_info().config.clone();
        config.max_messages = 1_000_000;
        world.nats.jetstream.update_stream(config).await?;
    }
    for prefix in [new, world.nats.prefix.to_string()] {
        // A start is no advice where it would end so.
        let asked = ["doctor", "--nats-prefix", &prefix, "--nats-replicas", "3"];
        let (code, printed, said) = world.run(&asked)?;
        assert!(code == 1 && printed.contains("leave NATS_REPLICAS out"), "{printed}{said}");
        assert!(!printed.contains("restart) `distribution serve`"), "{printed}");
        let mut service = world.serve_with("api", &["--nats-prefix", &prefix, "--nats-replicas", "3"])?;
        let ended = end(&mut service).await?;
        let printed = service.printed();
        assert_eq!(ended.code(), Some(1), "{printed}");
        assert!(printed.contains("NATS_REPLICAS asks for 3 copies"), "{printed}");
        assert!(printed.contains("is in no cluster"), "{printed}");
        assert!(printed.matches("non-clustered mode").count() <= 1, "{printed}");
    }
    world.close().await
}

/// How JetStream shows a stream.
fn shown(config: &Config) -> String {
    let at = "2026-01-01T00:00:00Z";
    let state = json!({
        "messages": 0, "bytes": 0, "first_seq": 0, "first_ts": at, "last_seq": 0, "last_ts": at, "consumer_count": 0,
    });
    json!({ "config": config, "created": at, "state": state }).to_string()
}

/// With the copies NATS refuses whatever else it is asked for at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_gets_no_more_copies_yet_is_set_up_all_the_same() -> anyhow::Result<()> {
    let world = World::new(&[]).await?;
    let mut has = world.nats.stream_config(StreamKind::Units)?;
    has.max_messages = 1_000_000;
    let (mut nats, journal) = (world.nats.clone().with_replicas(Some(3)), Uuid::now_v7());
    nats.of_journal(journal);
    // Where the server's own JetStream does not listen, the test answers in its place.
    let api = nats.prefix.subject("jetstream");
    nats.jetstream = async_nats::jetstream::with_prefix(nats.client.clone(), &api);
    let mut asked = nats.client.subscribe(format!("{api}.>")).await?;
    let mut copies = Vec::new();
    let mut set_up = std::pin::pin!(nats.ensure_stream(StreamKind::Units));
    let stream = loop {
        let message = tokio::select! {
            stream = &mut set_up => break stream?,
            Some(message) = asked.next() => message,
        };
        let mut answer = shown(&has);
        if message.subject.contains("STREAM.UPDATE") {
            let update: Config = serde_json::from_slice(&message.payload)?;
            copies.push(update.num_replicas);
            if update.num_replicas > has.num_replicas {
                PEERS_AWAY.clone_into(&mut answer);
            } else {
                answer = shown(&update);
                has = update;
            }
        }
        let inbox = message.reply.context("an answer is waited for")?;
        nats.client.publish(inbox, answer.into()).await?;
    };
    assert_eq!(copies, [3, 1], "it asks once more, without the copies");
    let config = &stream.cached_info().config;
    assert_eq!((config.num_replicas, config.max_messages), (1, -1));
    assert_eq!(config.metadata.get(JOURNAL), Some(&journal.to_string()));
    world.close().await
}
