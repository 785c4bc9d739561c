//! A Postgres that answers, but not with what was asked for: full of others' connections, out of time behind a lock, out of a
//! deadlock, or with defaults of its own; one that has ended its connections, one that hangs, and one whose host went without a word.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::ids::TargetId;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::postgres_server::PostgresServer;
use end_to_end::process::Process;
use end_to_end::proxy::{Line, Proxy, Upstream};
use end_to_end::server_tools::Tools;
use end_to_end::unit::{all_described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, ORG, World};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

/// Units with a listing each, which are at the channel.
async fn with_listings(world: &World, account: u64, units: &[String]) -> anyhow::Result<TargetId> {
    let target = world.target(account, RateLimit::new(100, 1_000)?).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(i64::try_from(units.len())?, 1).await?;
    world.link(target, units).await?;
    world.drained(Duration::from_secs(60)).await?;
    Ok(target)
}

async fn publish(world: &World, units: &[String], revision: u64, description: &str) -> anyhow::Result<()> {
    world.publish(&all_described(units, revision, description)).await
}

/// Nothing was lost, doubled or given up, and nobody had to do anything.
async fn all_is_well(world: &World, account: u64, units: usize, description: &str) -> anyhow::Result<()> {
    world.are_at_the_channel(account, units, description, Duration::from_secs(90)).await?;
    let lost =
        "SELECT count(*) FROM outbound_audit WHERE outcome NOT IN ('accepted', 'superseded', 'skipped_unchanged')";
    assert_eq!(world.count(lost).await?, 0);
    assert_eq!(world.nats.dead_letter_count().await?, 0);
    Ok(())
}

/// A session of the test's own on the world's database, with none of the database's own settings.
async fn session(world: &World) -> anyhow::Result<PgConnection> {
    let options = world.pool.connect_options().as_ref().clone();
    let mut session = options.options([("statement_timeout", "0")]).connect().await?;
    sqlx::query("SET lock_timeout = 0").execute(&mut session).await?;
    Ok(session)
}

async fn says(process: &Process, words: &str) -> anyhow::Result<()> {
    wait_until("the log says why", Duration::from_secs(30), || async {
        let printed = process.printed();
        Ok(if printed.contains(words) { Ok(()) } else { Err(format!("no {words:?} in {printed}")) })
    })
    .await
}

/// No warning comes more than once in ten seconds, by its words without numbers.
fn quiet(service: &Process) {
    let mut last: HashMap<String, chrono::DateTime<chrono::Utc>> = HashMap::new();
    for line in service.printed().lines().filter(|line| line.contains(" WARN ") && line.contains("error=")) {
        let (at, words) = line.split_once(" WARN ").unwrap_or_default();
        let Ok(at) = at.trim().parse::<chrono::DateTime<chrono::Utc>>() else { continue };
        let words = words.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
        let before = last.insert(words.collect::<Vec<_>>().join(" "), at);
        let apart = before.map_or(i64::MAX, |before| (at - before).num_milliseconds());
        assert!(apart >= 9_900, "{apart} ms after the one before: {line}");
    }
    assert!(!last.is_empty(), "something was warned of: {}", service.printed());
}

/// Every connection that Postgres has is somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_postgres_is_told_and_waited_for_and_needs_no_restart() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let postgres = PostgresServer::start_with(&tools, folder.path(), &["max_connections=40"]).await?;
    let beginning = Beginning { database_url: Some(postgres.url()), ..Beginning::default() };
    let world = World::begin(beginning, &[8730]).await?;
    let mut service = world.serve_with("", &["--pool", "8"])?;
    let units = names(20);
    with_listings(&world, 8730, &units).await?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    assert_eq!(owner.get("/health/ready").await?.status, 200);

    // They take each connection that comes free, and keep it.
    let storm = Arc::new(AtomicBool::new(true));
    let callers = (0..8).map(|_| {
        let (options, storm) = (postgres.options().database("postgres"), storm.clone());
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while storm.load(Ordering::Relaxed) {
                match options.connect().await {
                    Ok(connection) => kept.push(connection),
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
            kept.len()
        })
    });
    let callers: Vec<_> = callers.collect();
    wait_until("the service has no connection left", Duration::from_secs(60), || async {
        let ended = world.cut_off().await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(if ended == 0 { Ok(()) } else { Err(format!("it had {ended}")) })
    })
    .await?;
    // What readiness heard last holds for a second.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let asked = Instant::now();
    let ready = owner.get("/health/ready").await?.expect(503)?;
    assert!(asked.elapsed() < Duration::from_secs(6), "readiness took {:?}", asked.elapsed());
    assert_eq!((&ready.json()["ready"], &ready.json()["postgres"]), (&Value::Bool(false), &Value::Bool(false)));
    assert_eq!(owner.get("/health/live").await?.status, 204, "a restart would not help");
    let refused = owner.get("/api/channels/listings").await?.expect(503)?;
    assert!(!refused.header("retry-after").is_empty(), "{}", refused.text);
    says(&service, "too many clients already").await?;
    let (code, _, error) = world.run(&["queue"])?;
    assert!(code == 3 && error.contains("too many clients already"), "{code}: {error}");
    publish(&world, &units, 2, "During the storm.").await?;
    // Who cannot see the journal does not say that changes are taken in.
    let (code, doctor, _) = world.run(&["doctor"])?;
    assert!(code == 1 && doctor.contains("warn  the rest") && !doctor.contains("ok    intake"), "{doctor}");
    tokio::time::sleep(Duration::from_secs(9)).await;
    quiet(&service);

    storm.store(false, Ordering::Relaxed);
    let mut taken = 0;
    for caller in callers {
        taken += caller.await?;
    }
    assert!(taken > 10, "{taken} connections are no storm");
    wait_until("it is ready again", Duration::from_secs(30), || async {
        let ready = owner.get("/health/ready").await?;
        Ok(if ready.status == 200 { Ok(()) } else { Err(ready.text) })
    })
    .await?;
    world.taken(20, 2).await?;
    all_is_well(&world, 8730, 20, "During the storm.").await?;
    says(&service, "Postgres answers again").await?;
    assert_eq!(service.ended()?, None, "it is the same process");
    world.close().await
}

/// Of those that it had ended while they rested, each would be a refusal to somebody.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ended_while_they_rested_cost_no_caller_an_answer() -> anyhow::Result<()> {
    let world = World::new(&[8780]).await?;
    let target = world.target(8780, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let list = "/api/channels/listings";
    // Who waits at the same time has a connection each.
    let mut lock = world.pool.begin().await?;
    sqlx::query("LOCK TABLE channel_listings IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await?;
    let release = async {
        wait_until("all of them wait", Duration::from_secs(8), || async {
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'channel_listings'::regclass";
            let waiting = world.count(waiting).await?;
            Ok(if waiting >= 8 { Ok(()) } else { Err(format!("{waiting} wait")) })
        })
        .await?;
        lock.rollback().await?;
        anyhow::Ok(())
    };
    let (answers, released) = tokio::join!(try_join_all((0..8).map(|_| owner.get(list))), release);
    released?;
    for answer in answers? {
        answer.expect(200)?;
    }

    let ended = world.cut_off().await?;
    assert!(ended >= 8, "{ended} connections had rested");
    // One that was in use a moment ago is taken as it is.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    owner.get("/health/ready").await?.expect(200)?;
    let pause = format!("/api/channels/targets/{target}/pause");
    owner.post(&pause, &json!({ "reason": "after the restart" })).await?.expect(200)?;
    for _ in 0..10 {
        owner.get(list).await?.expect(200)?;
    }
    drop(service);
    world.close().await
}

/// Its time-outs are Postgres's own: one that hangs says nothing. Whoever reads is told so within seconds, as a page where one asks for
/// pages; how a change ends nobody knows, so it is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_postgres_that_hangs_are_answered_within_seconds() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let postgres = PostgresServer::start(&tools, folder.path()).await?;
    let beginning = Beginning { database_url: Some(postgres.url()), ..Beginning::default() };
    let world = World::begin(beginning, &[8770]).await?;
    let target = world.target(8770, RateLimit::new(100, 1_000)?).await?;
    let mut service = world.serve("api")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let ask = |method: Method, path: &'static str| {
        let (owner, is_page) = (owner.clone(), !path.starts_with("/api"));
        let accept = if is_page { "text/html" } else { "*/*" };
        async move {
            let began = Instant::now();
            let answer = owner.send(method, path, &[("accept", accept)], None).await?;
            anyhow::Ok((path, is_page, answer, began.elapsed()))
        }
    };
    let read = |path| ask(Method::GET, path);
    // It reads the channel, and changes nothing; which listing it is about nobody gets to know.
    let look = "/api/channels/listings/00000000-0000-0000-0000-000000000000/drift";
    let paths = ["/api/channels/listings", "/api/channels/audit/export", "/targets", "/listings"];
    for (path, _, answer, _) in try_join_all(paths.map(read)).await? {
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    let asked = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (path, reason) = (format!("/api/channels/targets/{target}/pause"), json!({ "reason": "it hangs" }));
        let change = tokio::time::timeout(Duration::from_secs(8), owner.post(&path, &reason));
        let (change, reads, look) = tokio::join!(change, try_join_all(paths.map(read)), ask(Method::POST, look));
        assert!(change.is_err(), "a change is waited for: {change:?}");
        let mut reads = reads?;
        reads.push(look?);
        anyhow::Ok(reads)
    };
    let reads = tokio::select! {
        reads = asked => reads?,
        _ = postgres.freeze(Duration::from_secs(60)) => anyhow::bail!("nobody was answered for a minute"),
    };
    for (path, is_page, answer, took) in reads {
        assert!(took < Duration::from_secs(8), "{path} took {took:?}");
        assert!(answer.text.contains("the database cannot be reached; try again"), "{path}: {}", answer.text);
        assert_eq!((answer.status.as_u16(), answer.header("retry-after").as_str()), (503, "1"), "{path}");
        let kind = if is_page { "text/html" } else { "application/problem+json" };
        assert!(answer.header("content-type").starts_with(kind), "{path}: {}", answer.header("content-type"));
    }
    wait_until("it is served again", Duration::from_secs(30), || async {
        let listings = owner.get("/api/channels/listings").await?;
        Ok(if listings.status == 200 { Ok(()) } else { Err(listings.text) })
    })
    .await?;
    assert_eq!(service.ended()?, None, "it is the same process");
    drop(service);
    world.close().await
}

/// Another one has its address. Whoever waits for an answer of the one before waits for ever, and those who ask anew are answered.
#[tokio::test(flavor = "multi_thread")]
async fn processes_whose_postgres_went_without_a_word_end_and_those_that_come_next_go_on() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let postgres = PostgresServer::start(&tools, folder.path()).await?;
    let beginning = Beginning { database_url: Some(postgres.url()), ..Beginning::default() };
    let world = World::begin(beginning, &[8795]).await?;
    let line = Proxy::start(Upstream::Socket(postgres.socket())).await?;
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", line.port, world.database());
    let serve = |roles: &str| world.serve_with(roles, &["--database-url", &url, "--silence-s", "6"]);
    let mut services = vec![serve("api")?, serve("intake,dispatcher")?, serve("relay,projector,health")?];
    Api::of(&services[0]).await?;
    let units = names(20);
    with_listings(&world, 8795, &units).await?;

    line.set(Some(Line::Lost));
    let lost = Instant::now();
    for service in &mut services {
        let ended = loop {
            if let Some(ended) = service.ended()? {
                break ended;
            }
            assert!(lost.elapsed() < Duration::from_secs(60), "it stands: {}", service.printed());
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let printed = service.printed();
        assert!(printed.contains("no longer on connections from before"), "{printed}");
        assert_eq!(ended.code(), Some(1), "its supervisor sees a failure: {printed}");
    }
    assert!(lost.elapsed() > Duration::from_secs(3), "one that comes back is waited for: {:?}", lost.elapsed());

    // After they had ended: what an intake had in hand would come again half a minute later.
    publish(&world, &units, 2, "Published to nobody.").await?;
    let _next = serve("")?;
    world.taken(20, 2).await?;
    all_is_well(&world, 8795, 20, "Published to nobody.").await?;
    world.close().await
}

/// Between them and Postgres nothing came through for so long that it has ended their sessions. Who sends there hears of it; who waits for
/// an answer that was lost does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_connections_are_reset_after_a_silence_ends_and_the_next_one_goes_on() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let postgres = PostgresServer::start(&tools, folder.path()).await?;
    let beginning = Beginning { database_url: Some(postgres.url()), ..Beginning::default() };
    let world = World::begin(beginning, &[8796]).await?;
    let line = Proxy::start(Upstream::Socket(postgres.socket())).await?;
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", line.port, world.database());
    let serve = || world.serve_with("", &["--database-url", &url]);
    let mut service = serve()?;
    Api::of(&service).await?;
    let units = names(20);
    with_listings(&world, 8796, &units).await?;

    line.set(Some(Line::Silent));
    says(&service, "Postgres cannot be asked").await?;
    // Longer than what a proxy may be silent for before it resets.
    tokio::time::sleep(Duration::from_secs(24)).await;
    line.set(Some(Line::Reset));
    says(&service, "no longer on connections from before").await?;
    let waited_since = Instant::now();
    let ended = loop {
        if let Some(ended) = service.ended()? {
            break ended;
        }
        assert!(waited_since.elapsed() < Duration::from_secs(30), "it stands: {}", service.printed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(ended.code(), Some(1), "its supervisor sees a failure: {}", service.printed());
    publish(&world, &units, 2, "Published after a cut.").await?;
    let _next = serve()?;
    world.taken(20, 2).await?;
    all_is_well(&world, 8796, 20, "Published after a cut.").await?;
    world.close().await
}

/// It may still be made, and here it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_takes_too_long_is_told_as_one_whose_end_is_unknown() -> anyhow::Result<()> {
    let world = World::new(&[8790]).await?;
    let target = world.target(8790, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let mut holder = session(&world).await?;
    let mut lock = holder.begin().await?;
    // Who reads goes on, and has a time-out of its own.
    sqlx::query("LOCK TABLE events IN SHARE MODE").execute(&mut *lock).await?;
    let pause = format!("/api/channels/targets/{target}/pause");
    let late = owner.post(&pause, &json!({ "reason": "it waits" })).await?.expect(504)?;
    let words = "whether the change took effect is unknown: read before you try again";
    assert!(late.text.contains("/problems/timed-out") && late.text.contains(words), "{}", late.text);
    assert_eq!(late.header("retry-after"), "1");
    lock.rollback().await?;
    wait_until("the change is made", Duration::from_secs(10), || async {
        let made = world.count("SELECT count(*) FROM events WHERE event_type = 'TargetPaused'").await?;
        Ok(if made == 1 { Ok(()) } else { Err(format!("{made} were")) })
    })
    .await?;
    drop(service);
    world.close().await
}

/// A role or database with time-outs, and somebody who holds a lock for longer.
#[tokio::test(flavor = "multi_thread")]
async fn statements_that_time_out_behind_a_lock_lose_nothing() -> anyhow::Result<()> {
    let world = World::new(&[8740]).await?;
    for setting in ["statement_timeout = '400ms'", "lock_timeout = '300ms'"] {
        sqlx::query(&format!("ALTER DATABASE {} SET {setting}", world.database())).execute(&world.pool).await?;
    }
    let mut service = world.serve("")?;
    let units = names(40);
    with_listings(&world, 8740, &units).await?;
    for (revision, table, description) in [
        (2, "events", "The journal was locked."),
        (3, "dispatch_lanes", "The lanes were locked."),
        (4, "projection_checkpoints", "The read models were locked."),
    ] {
        let mut holder = session(&world).await?;
        let mut lock = holder.begin().await?;
        sqlx::query(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).execute(&mut *lock).await?;
        publish(&world, &units, revision, description).await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
        lock.rollback().await?;
        let released = Instant::now();
        all_is_well(&world, 8740, 40, description).await?;
        println!("{table}: all was well {:.1} s after the lock", released.elapsed().as_secs_f64());
    }
    let printed = service.printed();
    let said = ["due to statement timeout", "due to lock timeout"].iter().any(|words| printed.contains(words));
    assert!(said, "the log says why: {printed}");
    assert_eq!(service.ended()?, None);
    world.close().await
}

/// Somebody takes the locks of a window in the wrong order, and a dispatcher is the one that Postgres ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_that_loses_a_deadlock_goes_on() -> anyhow::Result<()> {
    let world = World::new(&[8750]).await?;
    let mut service = world.serve("")?;
    let units = names(10);
    let target = with_listings(&world, 8750, &units).await?;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let mut holder = session(&world).await?;
    // Whoever looks first is ended; this one does not look.
    sqlx::query("SET deadlock_timeout = '1min'").execute(&mut holder).await?;
    let mut lock = holder.begin().await?;
    let slots = "SELECT 1 FROM rate_slots WHERE scope = 'target:' || $1::uuid FOR UPDATE";
    sqlx::query(slots).bind(target.0).execute(&mut *lock).await?;
    publish(&world, &units, 2, "After the deadlock.").await?;
    // In this database: others wait for locks in theirs.
    let waiting = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%rate_slots%'";
    wait_until("a dispatcher waits for a slot", Duration::from_secs(10), || async {
        let waiting = world.count(waiting).await?;
        Ok(if waiting > 0 { Ok(()) } else { Err("nobody waits".to_owned()) })
    })
    .await?;
    let lane = "SELECT 1 FROM dispatch_lanes WHERE target_id = $1 FOR UPDATE";
    let taken =
        tokio::time::timeout(Duration::from_secs(20), sqlx::query(lane).bind(target.0).execute(&mut *lock)).await;
    assert!(matches!(taken, Ok(Ok(_))), "the lane came free when the dispatcher was ended: {taken:?}");
    lock.rollback().await?;
    says(&service, "deadlock detected").await?;
    all_is_well(&world, 8750, 10, "After the deadlock.").await?;
    assert!(world.count(deadlocks).await? >= 1);
    assert_eq!(service.ended()?, None);
    world.close().await
}

/// Windows and the journal's fence are decided by what the last holder of a lock wrote, which a transaction of a stricter
/// isolation would not see: the sessions of the service have their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_default_is_serializable_changes_nothing() -> anyhow::Result<()> {
    let world = World::new(&[8760]).await?;
    let setting = format!("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'", world.database());
    sqlx::query(&setting).execute(&world.pool).await?;
    let service = world.serve("")?;
    let second = world.serve("intake,dispatcher")?;
    let units = names(60);
    let target = world.target(8760, RateLimit::new(25, 1_000)?).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.link(target, &units).await?;
    publish(&world, &units, 2, "Serialized by default.").await?;
    world.taken(60, 2).await?;
    all_is_well(&world, 8760, 60, "Serialized by default.").await?;
    let summary = world.sandbox.get("/summary?window_ms=1000").await?;
    assert!(summary["accounts"]["8760"]["worst_window"].as_u64() <= Some(25), "{summary}");
    for process in [&service, &second] {
        assert!(!process.printed().contains("could not serialize"), "{}", process.printed());
    }
    world.close().await
}
