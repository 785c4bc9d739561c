//! Stops that were asked for: calls under way end, nothing is left to time out, and whoever is served by two of each role
//! notices nothing of a restart of all of them, one after the other.

use std::collections::HashSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::postgres_server::PostgresServer;
use end_to_end::process::{Process, binary};
use end_to_end::server_tools::Tools;
use end_to_end::unit::{described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, ORG, World};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Every call that the channel saw stands in the audit, and every call there was seen.
async fn calls_match(world: &World, account: u64) -> anyhow::Result<usize> {
    let arrived: HashSet<String> = world
        .sandbox
        .arrivals(account)
        .await?
        .iter()
        .filter_map(|arrival| arrival["request_id"].as_str().map(str::to_owned))
        .collect();
    let recorded: Vec<String> =
        sqlx::query_scalar("SELECT request_id::text FROM outbound_attempts").fetch_all(&world.pool).await?;
    let recorded: HashSet<String> = recorded.into_iter().collect();
    let unrecorded: Vec<_> = arrived.difference(&recorded).collect();
    assert!(unrecorded.is_empty(), "calls that no audit row tells of: {unrecorded:?}");
    let unseen: Vec<_> = recorded.difference(&arrived).collect();
    assert!(unseen.is_empty(), "audit rows of calls that were never made: {unseen:?}");
    Ok(arrived.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_calls_under_way_and_leaves_nothing_to_time_out() -> anyhow::Result<()> {
    let world = World::new(&[8300]).await?;
    world.sandbox.fault(json!({ "kind": "latency", "min_ms": 700, "max_ms": 1200 })).await?;
    let target = world.target(8300, RateLimit::new(30, 1_000)?).await?;
    let _base = world.serve("intake,relay,projector")?;
    let units = names(60);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(60, 1).await?;
    world.link(target, &units).await?;
    let mut dispatcher = world.serve("dispatcher")?;
    wait_until("calls are under way", Duration::from_secs(30), || async {
        let waiting = world.sandbox.arrivals(8300).await?.iter().filter(|call| call["status"].is_null()).count();
        Ok(if waiting >= 5 { Ok(()) } else { Err(format!("{waiting} calls")) })
    })
    .await?;
    let asked = Instant::now();
    assert!(dispatcher.stop()?, "it ended well: {}", dispatcher.printed());
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(10), "calls of a second took {took:?} to end");
    let unanswered = world.sandbox.arrivals(8300).await?.iter().filter(|call| call["status"].is_null()).count();
    assert_eq!(unanswered, 0, "no call was cut");
    let leases = "SELECT count(*) FROM dispatch_leases WHERE NOT done AND lease_until > now()";
    assert_eq!(world.count(leases).await?, 0, "no listing waits for a lease to run out");
    // A slot comes back a window after its answer; one of a call that nobody ended would take the longest call beside it.
    let held = "SELECT count(*) FROM rate_slots WHERE free_at > now() + interval '1.2 seconds' AND isfinite(free_at)";
    assert_eq!(world.count(held).await?, 0, "no slot waits for a call that has ended");
    world.sandbox.heal().await?;
    let _next = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(90)).await?;
    assert_eq!(world.sandbox.listings(8300).await?.len(), 60);
    assert_eq!(world.sandbox.account(8300).await?["duplicate_references"], 0);
    assert!(calls_match(&world, 8300).await? >= 120);
    assert_eq!(world.count("SELECT max(attempts)::bigint FROM outbound_audit").await?, 1, "no attempt was burned");
    world.close().await
}

/// The channel is slower than the stop waits, and Postgres is gone: nothing that happens now can be written down.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_postgres_ends_soon_and_the_next_process_goes_on() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let mut postgres = PostgresServer::start(&tools, folder.path()).await?;
    let world = World::begin(Beginning { database_url: Some(postgres.url()), ..Beginning::default() }, &[8320]).await?;
    let target = world.target(8320, RateLimit::new(30, 1_000)?).await?;
    // Longer than the stop waits, and no longer: leases, which the next process waits for, outlast the longest call.
    let mut service = world.serve_with("", &["--drain-s", "1", "--call-timeout-s", "10"])?;
    let units = names(20);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(20, 1).await?;
    // The token comes at once: nothing would be under way while it is waited for.
    let slow = json!({ "path_prefix": "/v1/listings", "kind": "latency", "min_ms": 9_000, "max_ms": 9_500 });
    world.sandbox.fault(slow).await?;
    world.link(target, &units).await?;
    wait_until("calls are under way", Duration::from_secs(30), || async {
        let waiting = world.sandbox.arrivals(8320).await?.iter().filter(|call| call["status"].is_null()).count();
        Ok(if waiting >= 5 { Ok(()) } else { Err(format!("{waiting} calls")) })
    })
    .await?;
    postgres.kill();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    assert!(service.stopped().await?, "it ended well: {}", service.printed());
    let took = asked.elapsed();
    let printed = service.printed();
    println!("the stop took {took:?}");
    assert!(took < Duration::from_secs(11), "1 s to drain, 5 s for Postgres, and a little: {took:?}\n{printed}");
    assert!(printed.contains("stopping without Postgres"), "{printed}");
    let told = printed.matches("an outcome could not be recorded before the stop").count();
    assert!(told >= 5, "the log has each push that was cut, and has {told}: {printed}");
    world.sandbox.heal().await?;
    postgres.run().await?;
    let _next = world.serve("")?;
    world.drained(Duration::from_secs(120)).await?;
    assert_eq!(world.sandbox.listings(8320).await?.len(), 20, "no listing twice, none missing");
    assert_eq!(world.sandbox.account(8320).await?["duplicate_references"], 0);
    world.audit_is_whole().await?;
    world.close().await
}

/// It keeps its connections and says nothing: no time-out of its own comes to whoever waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_beside_a_postgres_that_hangs_ends_as_soon_as_without_one() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let postgres = PostgresServer::start(&tools, folder.path()).await?;
    let world = World::begin(Beginning { database_url: Some(postgres.url()), ..Beginning::default() }, &[8330]).await?;
    let target = world.target(8330, RateLimit::new(30, 1_000)?).await?;
    let mut service = world.serve_with("", &["--drain-s", "1"])?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.link(target, &names(1)).await?;
    world.drained(Duration::from_secs(30)).await?;
    let stop = async {
        // Whoever asks it every now and then waits for it by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = Instant::now();
        let ended = service.stopped().await?;
        anyhow::Ok((ended, asked.elapsed()))
    };
    let (ended, took) = tokio::select! {
        stopped = stop => stopped?,
        _ = postgres.freeze(Duration::from_secs(60)) => anyhow::bail!("it did not stop within a minute"),
    };
    let printed = service.printed();
    println!("the stop took {took:?}");
    assert!(ended, "it ended well: {printed}");
    assert!(took < Duration::from_secs(10), "1 s to drain, 5 s for Postgres, 1.25 s to notice: {took:?}\n{printed}");
    assert!(printed.contains("stopping without Postgres"), "{printed}");
    let _next = world.serve("")?;
    world.publish(&[described("villa-000", 2, "after the stop")]).await?;
    world.are_at_the_channel(8330, 1, "after the stop", Duration::from_secs(60)).await?;
    world.close().await
}

/// Nobody has a connection when the stop comes, and whoever routes requests does not know of it yet.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_while_the_api_drains_is_served_and_readiness_says_no() -> anyhow::Result<()> {
    let world = World::new(&[]).await?;
    let mut service = world.serve_with("api", &["--drain-s", "3"])?;
    let base = Api::of(&service).await?.base().to_owned();
    // A connection of its own for each.
    let fresh = || Api::at(base.clone(), Duration::from_secs(5));
    fresh()?.get("/health/ready").await?.expect(200)?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = Instant::now();
    service.signal(Signal::TERM)?;
    while asked.elapsed() < Duration::from_millis(2_500) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        fresh()?.get("/health/live").await?.expect(204)?;
        fresh()?.get("/health/ready").await?.expect(503)?;
    }
    let ended = loop {
        if let Some(ended) = service.ended()? {
            break ended;
        }
        anyhow::ensure!(asked.elapsed() < Duration::from_secs(15), "it runs: {}", service.printed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(ended.success(), "it ended well: {}", service.printed());
    world.close().await
}

async fn serves(process: &Process) -> anyhow::Result<()> {
    wait_until("it serves", Duration::from_secs(30), || async {
        let printed = process.printed();
        Ok(if printed.contains("serving roles=") { Ok(()) } else { Err(printed) })
    })
    .await
}

/// A terminal that closes sends a hang-up, and its shell one more.
#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_and_a_quit_stop_as_gently_as_a_termination() -> anyhow::Result<()> {
    let world = World::new(&[]).await?;
    for signal in [Signal::HUP, Signal::QUIT] {
        let mut service = world.serve_with("api", &["--drain-s", "2"])?;
        let base = Api::of(&service).await?.base().to_owned();
        serves(&service).await?;
        let asked = Instant::now();
        service.signal(signal)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        service.signal(Signal::HUP)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        Api::at(base, Duration::from_secs(5))?.get("/health/ready").await?.expect(503)?;
        let ended = loop {
            if let Some(ended) = service.ended()? {
                break ended;
            }
            anyhow::ensure!(asked.elapsed() < Duration::from_secs(15), "it runs: {}", service.printed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let printed = service.printed();
        assert!(ended.success(), "{signal:?}: {ended}: {printed}");
        assert!(printed.contains("stopping: calls under way end") && !printed.contains("stopped at once"), "{printed}");
    }
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once_and_a_hang_up_that_nohup_ignores_stops_nothing() -> anyhow::Result<()> {
    let world = World::new(&[]).await?;
    let mut command = Command::new("nohup");
    command.arg(binary("distribution")?).args(["serve", "--roles", "api", "--drain-s", "60"]);
    command.envs(world.environment()?);
    let mut service = Process::spawn(command, &world.path("nohup.log"))?;
    serves(&service).await?;
    service.signal(Signal::HUP)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(service.ended()?.is_none() && !service.printed().contains("stopping"), "{}", service.printed());
    service.signal(Signal::TERM)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    assert!(service.stopped().await?, "it ended well: {}", service.printed());
    assert!(asked.elapsed() < Duration::from_secs(15), "nothing was waited for: {}", service.printed());
    assert!(service.printed().contains("stopped at once"), "{}", service.printed());
    world.close().await
}

/// Reads and writes of callers that know two addresses, as behind a load balancer: an address to which no connection comes about, so that
/// nothing was sent, is passed over, every answer counts.
async fn ask(apis: &[Api; 2], kind: usize, turn: usize, target: &str) -> anyhow::Result<()> {
    let mut unconnected = None;
    for at in 0..2 {
        let api = &apis[(turn + at) % 2];
        let asked = match kind {
            0 => api.post(&format!("/api/channels/targets/{target}/check"), &Value::Null).await,
            1 => api.get("/api/channels/listings?limit=20").await,
            2 => api.get(&format!("/api/channels/targets/{target}")).await,
            _ => api.get("/api/channels/queue").await,
        };
        match asked {
            Ok(answer) => {
                anyhow::ensure!(answer.status.is_success(), "{}: {}", answer.status, answer.text);
                return Ok(());
            }
            Err(error) if error.downcast_ref().is_some_and(reqwest::Error::is_connect) => unconnected = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(unconnected.unwrap_or_else(|| anyhow::anyhow!("nobody was asked")))
}

const ROLES: [&str; 6] = ["api", "intake", "relay", "projector", "dispatcher", "health"];
/// Long beside what a busy machine adds to each turn of it.
const WINDOW_MS: u32 = 2_000;
const WINDOW_US: u64 = WINDOW_MS as u64 * 1_000;
const LIMIT: u32 = 12;
/// After a call its slot comes back a window, the answer (60 ms at the most, below) and a margin of 50 ms later. Where all
/// twelve are used at once, nobody may call for so long.
const TURN_US: u64 = WINDOW_US + 110_000;

/// Checks are called by a lane of their own: they go on where syncs do not.
fn is_of_a_sync(call: &Value) -> bool {
    !(call["method"] == "GET" && call["path"] == "/v1/listings" && call["query"] == "limit=1")
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_a_rolling_restart_under_load_fails_no_request_and_leaves_no_window_idle() -> anyhow::Result<()> {
    let world = World::new(&[8310]).await?;
    world.sandbox.fault(json!({ "kind": "latency", "min_ms": 5, "max_ms": 60 })).await?;
    let target = world.target(8310, RateLimit::new(LIMIT, WINDOW_MS)?).await?;
    let start = |role: &str| world.serve(role);
    let mut roles: Vec<[Process; 2]> =
        ROLES.iter().map(|role| Ok([start(role)?, start(role)?])).collect::<anyhow::Result<_>>()?;
    let units = names(400);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(400, 1).await?;
    world.link(target, &units).await?;
    let owner = async |process: &Process| Api::of(process).await?.as_caller(&world, ORG, None, "owner");
    let [first, second] = &roles[0];
    let apis = std::sync::Mutex::new([owner(first).await?, owner(second).await?]);
    wait_until("the window is in use", Duration::from_secs(30), || async {
        let calls = world.sandbox.arrivals(8310).await?.len();
        Ok(if calls >= 40 { Ok(()) } else { Err(format!("{calls} calls")) })
    })
    .await?;
    let began_us = world.sandbox.arrivals(8310).await?.iter().filter_map(|call| call["at_us"].as_u64()).max();
    let over = AtomicBool::new(false);
    let target_id = target.to_string();
    let (apis, over, target_id) = (&apis, &over, target_id.as_str());
    let asking = |kind: usize| async move {
        let mut asked = 0;
        while !over.load(Ordering::Relaxed) {
            let now = apis.lock().expect("nobody panics while holding this lock").clone();
            ask(&now, kind, asked, target_id).await?;
            asked += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(asked)
    };
    let restarting = async {
        for (role, pair) in ROLES.iter().zip(&mut roles) {
            for (which, process) in pair.iter_mut().enumerate() {
                let ended = process.stopped().await?;
                anyhow::ensure!(ended, "{role} did not end well: {}", process.printed());
                *process = start(role)?;
                if *role == "api" {
                    let api = owner(process).await?;
                    apis.lock().expect("nobody panics while holding this lock")[which] = api;
                }
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
        }
        over.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let (asked, ()) = futures::try_join!(futures::future::try_join_all((0..4).map(asking)), restarting)?;
    let asked: usize = asked.iter().sum();
    let ended_us = world.sandbox.arrivals(8310).await?.iter().filter_map(|call| call["at_us"].as_u64()).max();
    assert!(asked > 50, "{asked} requests");
    assert!(world.count("SELECT count(*) FROM sync_queue").await? > 0, "there was work all the time");
    let (began, ended) = began_us.zip(ended_us).expect("there were calls");
    let calls = world.sandbox.arrivals(8310).await?;
    let at = |call: &Value| call["at_us"].as_u64().filter(|at| (began..=ended).contains(at));
    let used_slots = calls.iter().filter_map(at).count();
    let mut of_syncs: Vec<u64> = calls.iter().filter(|call| is_of_a_sync(call)).filter_map(at).collect();
    of_syncs.extend([began, ended]);
    of_syncs.sort_unstable();
    let longest = of_syncs.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let windows = (ended - began) as f64 / WINDOW_US as f64;
    let used = used_slots as f64 / windows / f64::from(LIMIT);
    println!("{asked} requests; {windows:.0} windows, {used:.3} of the budget used, longest silence {longest} us");
    // Slots that came back and lay idle for a whole window are a turn and a window without a call. Half a window of that, a
    // second, is for a machine with more to do than it has cores.
    assert!(longest < TURN_US + WINDOW_US / 2, "a window was idle: no sync had a call for {longest} us");
    // Of an idle machine it is 0.9 and more; the same second in every turn leaves two thirds of that.
    assert!(used > 0.6, "the windows were used to {used:.3}");
    let summary = world.sandbox.get(&format!("/summary?window_ms={WINDOW_MS}")).await?;
    assert!(summary["accounts"]["8310"]["worst_window"].as_u64() <= Some(u64::from(LIMIT)), "{summary}");
    // The rest of it at another pace.
    let (code, _, said) = world.run(&["target", "rate-limit", &target.to_string(), "200/1s"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(120)).await?;
    assert_eq!(world.sandbox.listings(8310).await?.len(), 400);
    world.audit_is_whole().await?;
    world.close().await
}
