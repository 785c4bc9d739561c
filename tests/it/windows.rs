//! The strict window, as the sandbox sees it: full but never over, whatever latency, crashes and second dispatchers do.

use std::time::{Duration, Instant};

use adapters::dispatch::DispatchStore;
use domain::ids::TargetId;
use domain::metadata::Metadata;
use domain::target::{Health, NewTarget, Target, TargetCommand};
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use futures::future::try_join_all;
use serde_json::{Value, json};

const WINDOW_US: u64 = 10_000_000;

fn times(arrivals: &[Value]) -> Vec<u64> {
    arrivals.iter().filter_map(|arrival| arrival["at_us"].as_u64()).collect()
}

/// Calls in the whole windows between the 12th call and the 12th before the last, so while there is work. Whole ones,
/// because calls come in bursts: a span that ends with one would count it for nothing.
fn use_of_budget(times: &[u64]) -> Option<f64> {
    let inner = times.get(12..times.len().checked_sub(12)?)?;
    let (first, last) = (inner.first()?, inner.last()?);
    let windows = (last - first) / WINDOW_US;
    let counted = inner.iter().filter(|at| **at < first + windows * WINDOW_US).count();
    (windows > 0).then(|| counted as f64 / windows as f64 / 12.0)
}

/// 1,000 listings over 50 targets at 12 / 10 s, answers after 1 to 300 ms, two dispatchers of which one is killed.
#[tokio::test(flavor = "multi_thread")]
async fn heavy_a_thousand_listings_fill_their_windows_and_never_overrun() -> anyhow::Result<()> {
    let accounts: Vec<u64> = (7100..7150).collect();
    let world = World::new(&accounts).await?;
    world.sandbox.fault(json!({"kind": "latency", "min_ms": 1, "max_ms": 300})).await?;
    let units = names(1_000);
    let mut targets = Vec::new();
    for account in &accounts {
        targets.push(world.target(*account, RateLimit::default()).await?);
    }
    let _base = world.serve("intake,relay,projector")?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(1_000, 1).await?;
    for (target, units) in targets.iter().zip(units.chunks(20)) {
        world.link(*target, units).await?;
    }
    let mut first = world.serve("dispatcher")?;
    let _second = world.serve("dispatcher")?;
    tokio::time::sleep(Duration::from_secs(25)).await;
    first.kill();
    let _third = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(420)).await?;

    let mut used = Vec::new();
    for account in &accounts {
        let summary = world.sandbox.account(*account).await?;
        assert!(summary["worst_window"].as_u64() <= Some(12), "account {account}: {summary}");
        assert_eq!(summary["duplicate_references"], 0);
        assert_eq!(world.sandbox.listings(*account).await?.len(), 20);
        used.extend(use_of_budget(&times(&world.sandbox.arrivals(*account).await?)));
    }
    used.sort_by(f64::total_cmp);
    let average = used.iter().sum::<f64>() / used.len() as f64;
    println!("use of the budget: average {average:.3}, least {:.3}, most {:.3}", used[0], used[used.len() - 1]);
    // What the service makes of a window says `bench window`; here the machine has other tests to run.
    assert!(average >= 0.8, "the windows are used to {average:.3}");
    world.audit_is_whole().await?;
    world.close().await
}

#[tokio::test]
async fn a_429_pauses_the_scope_that_it_names_and_burns_no_attempt() -> anyhow::Result<()> {
    let world = World::new(&[7200]).await?;
    let target = world.target(7200, RateLimit::new(200, 1_000)?).await?;
    let _service = world.serve("")?;
    let units = names(6);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(6, 1).await?;
    // The channel is stricter than the target's own setting: nothing else tells but its refusals.
    world.sandbox.enforce(10, 3_000).await?;
    world.link(target, &units).await?;
    world.drained(Duration::from_secs(60)).await?;
    assert!(world.sandbox.account(7200).await?["refused_429"].as_i64() > Some(0), "the limit was met");
    assert_eq!(world.sandbox.listings(7200).await?.len(), 6);
    assert_eq!(world.count("SELECT max(attempts)::bigint FROM outbound_audit").await?, 1);
    world.close().await
}

/// Whoever asks which attempt is next hears one number, wherever it is told, and what it waits for by one name.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_429_every_answer_names_the_same_next_attempt() -> anyhow::Result<()> {
    let world = World::new(&[7201]).await?;
    let target = world.target(7201, RateLimit::new(100, 1_000)?).await?;
    // Of an account's pause those are told whom the channel takes there.
    world.commands().target(target, taken(), &world.metadata(target)?).await?;
    let service = world.serve("")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let pause = json!({ "kind": "rate_limited", "retry_after_s": 60, "account": 7201, "path_prefix": "/v1/listings" });
    world.sandbox.fault(pause).await?;
    let listing = world.link(target, &names(1)).await?[0];
    wait_until("the 429 is told", Duration::from_secs(30), || async {
        let paused = "EXISTS (SELECT FROM rate_scopes WHERE paused_until > now())
            AND EXISTS (SELECT FROM channel_targets WHERE health = 'healthy')";
        let told = world.count(&format!("SELECT count(*) FROM sync_queue WHERE tries = 1 AND {paused}")).await?;
        Ok(if told == 1 { Ok(()) } else { Err("it was not tried".to_owned()) })
    })
    .await?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let queue = api.get("/api/channels/queue").await?.expect(200)?.json();
    assert_eq!((&queue["items"][0]["attempt"], &queue["items"][0]["tries"]), (&json!(1), &json!(1)), "{queue}");
    let paused = "paused by the channel";
    assert_eq!(queue["items"][0]["status"], paused, "{queue}");
    let explained = api.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?.json();
    let (next, waiting) = (&explained["next"], &explained["waiting"]);
    assert_eq!((&next["attempt"], &next["step"]), (&json!(1), &json!("waits_for_slot")), "{explained:#}");
    assert_eq!(waiting["status"], paused, "{explained:#}");
    assert!(next["because"].to_string().contains("the channel has the account paused until "), "{explained:#}");
    let page = api.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    assert!(page.contains("Attempt 1 of 5 starts when the channel's pause is over."), "{page}");
    let page = api.get(&format!("/targets/{target}")).await?.expect(200)?.text;
    assert!(page.contains("1 of 5") && page.contains(&format!("\">{paused}</span>")), "{page}");
    let (_, printed, _) = world.run(&["queue"])?;
    assert!(printed.contains("1 of 5") && !printed.contains("later"), "{printed}");
    drop(service);
    world.close().await
}

/// Why something waits is told by one name, be the pause of an account or of an address, whose rows no reader sees.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_by_the_channel_has_one_name_at_every_door() -> anyhow::Result<()> {
    let world = World::new(&[7202]).await?;
    let target = world.target(7202, RateLimit::new(100, 1_000)?).await?;
    world.commands().target(target, taken(), &world.metadata(target)?).await?;
    let service = world.serve("intake,relay,projector,api")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &names(1)).await?[0];
    wait_until("it is due", Duration::from_secs(30), || async {
        let due = world.count("SELECT count(*) FROM sync_queue WHERE due_at <= now()").await?;
        let taken = world.count("SELECT count(*) FROM channel_targets WHERE health = 'healthy'").await?;
        Ok(if (due, taken) == (1, 1) { Ok(()) } else { Err("the read models do not show it".to_owned()) })
    })
    .await?;
    let account = "SELECT 'account:' || channel || '/' || base_url || '/' || channel_account FROM channel_targets";
    let account: String = sqlx::query_scalar(account).fetch_one(&world.pool).await?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let (pause, resume) = (
        "INSERT INTO rate_scopes (scope, paused_until) VALUES ($1, now() + interval '1 hour')
         ON CONFLICT (scope) DO UPDATE SET paused_until = excluded.paused_until",
        "UPDATE rate_scopes SET paused_until = '-infinity' WHERE scope = $1",
    );
    for scope in [account.as_str(), "egress:default"] {
        for (statement, status) in [(pause, "paused by the channel"), (resume, "due")] {
            sqlx::query(statement).bind(scope).execute(&world.pool).await?;
            let queue = api.get("/api/channels/queue").await?.expect(200)?.json();
            assert_eq!(queue["items"][0]["status"], status, "{scope}: {queue}");
            let explained = api.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?.json();
            assert_eq!(explained["waiting"]["status"], status, "{scope}: {explained:#}");
            let (_, printed, _) = world.run(&["--output", "json", "queue"])?;
            let queue: Value = serde_json::from_str(&printed)?;
            assert_eq!(queue["work"][0]["status"], status, "{scope}: {queue}");
            let overview = api.get("/").await?.expect(200)?.text;
            assert!(overview.contains("No target needs anybody"), "{overview}");
            let told = overview.contains("\">paused by the channel</span>: 1 target, until ");
            assert_eq!(told, status != "due", "{scope}: {overview}");
            for path in [format!("/listings/{listing}"), format!("/targets/{target}")] {
                let page = api.get(&path).await?.expect(200)?.text;
                assert!(page.contains(&format!("\">{status}</span>")), "{scope}, {path}: {page}");
            }
        }
    }
    drop(service);
    world.close().await
}

/// A target of another organisation at this one's account, whose credentials are taken there.
async fn theirs(world: &World, own: &Target, base_url: &str) -> anyhow::Result<()> {
    let target_id = TargetId(uuid::Uuid::now_v7());
    let create = TargetCommand::Create(NewTarget {
        target_id,
        org_id: "elsewhere".parse()?,
        account_id: ACCOUNT.parse()?,
        name: "Theirs".to_owned(),
        channel: own.channel,
        base_url: base_url.to_owned(),
        channel_account: own.channel_account.clone(),
        credential: own.credential.clone(),
        rate_limit: own.rate_limit,
        account_rate_limit: None,
    });
    let metadata = Metadata { org_id: "elsewhere".parse()?, ..world.metadata(target_id)? };
    for command in [create, taken()] {
        world.commands().target(target_id, command, &metadata).await?;
    }
    Ok(())
}

/// The first credentials of a target are taken.
fn taken() -> TargetCommand {
    TargetCommand::ReportHealth { health: Health::Healthy, reason: "it answers".to_owned(), credential_epoch: 0 }
}

/// Of whose credentials an account takes none while it takes another owner's waits for one of the few logins of all such. Its windows are
/// empty meanwhile, so everybody who tells of the sync says that, and until when.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_login_has_one_name_at_every_door() -> anyhow::Result<()> {
    let world = World::new(&[7203]).await?;
    let target = world.target(7203, RateLimit::new(100, 1_000)?).await?;
    let own = world.commands().load_target(target).await?.target().cloned().expect("it was made");
    theirs(&world, &own, &own.base_url).await?;
    let service = world.serve("intake,relay,projector,api")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &names(1)).await?[0];
    wait_until("it is due", Duration::from_secs(30), || async {
        let due = world.count("SELECT count(*) FROM sync_queue WHERE due_at <= now()").await?;
        let theirs = world.count("SELECT count(*) FROM channel_targets WHERE health = 'healthy'").await?;
        Ok(if (due, theirs) == (1, 1) { Ok(()) } else { Err("the read models do not show it".to_owned()) })
    })
    .await?;
    let (now, version) = world.commands().load_target_at(target).await?;
    let own = now.target().expect("it was made");
    DispatchStore::new(world.pool.clone(), uuid::Uuid::now_v7()).ensure_limits_of(&[(own, version)]).await?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let rule = "have one login in 10 s together, those of one organisation one in 30 s; the next one is not before ";
    let taken = "UPDATE rate_slots SET free_at = now() + interval '1 hour' WHERE scope LIKE 'strangers:%'";
    let free = "UPDATE rate_slots SET free_at = '-infinity' WHERE scope LIKE 'strangers:%'";
    for (statement, status) in [(taken, "waits for a login"), (free, "due")] {
        let waits = status != "due";
        sqlx::query(statement).execute(&world.pool).await?;
        let queue = api.get("/api/channels/queue").await?.expect(200)?.json();
        assert_eq!(queue["items"][0]["status"], status, "{queue}");
        let explained = api.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?.json();
        let (waiting, next) = (&explained["waiting"], &explained["next"]);
        assert_eq!((&waiting["status"], &next["step"]), (&json!(status), &json!("waits_for_slot")), "{explained:#}");
        assert_eq!(waiting["login"]["not_before"].is_string(), waits, "{explained:#}");
        assert_eq!(next["at"].is_string(), waits, "{explained:#}");
        for words in [&next["because"], &explained["words"]] {
            assert_eq!(words.to_string().contains(rule), waits, "{explained:#}");
        }
        let (_, printed, _) = world.run(&["--output", "json", "queue"])?;
        let queue: Value = serde_json::from_str(&printed)?;
        assert_eq!(queue["work"][0]["status"], status, "{queue}");
        assert_eq!(queue["targets"][0]["due"], json!(i64::from(!waits)), "{queue}");
        for row in [&queue["work"][0], &queue["targets"][0]] {
            assert_eq!(row["login"]["not_before"].is_string(), waits, "{queue}");
        }
        let (_, printed, _) = world.run(&["queue"])?;
        assert_eq!(printed.contains("waits for a login, not before "), waits, "{printed}");
        let (target, listing) = (target.to_string(), listing.to_string());
        for arguments in [&["target", "show", target.as_str()][..], &["explain", listing.as_str()]] {
            let (_, printed, _) = world.run(arguments)?;
            assert_eq!(printed.contains(rule), waits, "{printed}");
        }
        for path in [format!("/listings/{listing}"), format!("/targets/{target}")] {
            let page = api.get(&path).await?.expect(200)?.text;
            assert!(page.contains(&format!("\">{status}</span>")), "{path}: {page}");
            assert_eq!(page.contains("have one login in 10 s together"), waits, "{path}: {page}");
        }
    }
    drop(service);
    world.close().await
}

/// Over the API a target stays at its host. At the command line it may be moved, and is at the new one as whoever comes anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_said_of_the_credentials_ends_when_a_target_is_moved_to_another() -> anyhow::Result<()> {
    let world = World::new(&[7204]).await?;
    let target = world.target(7204, RateLimit::new(100, 1_000)?).await?;
    let own = world.commands().load_target(target).await?.target().cloned().expect("it was made");
    let other_host = own.base_url.replace("127.0.0.1", "localhost");
    assert_ne!(own.base_url, other_host);
    theirs(&world, &own, &other_host).await?;
    let metadata = world.metadata(target)?;
    world.commands().target(target, taken(), &metadata).await?;
    let service = world.serve("relay,projector")?;
    let shown = async |sql: &str| {
        wait_until(sql, Duration::from_secs(30), || async {
            let count = world.count(sql).await?;
            Ok(if count == 2 { Ok(()) } else { Err(format!("{count} of 2")) })
        })
        .await
    };
    shown("SELECT count(*) FROM channel_targets WHERE health = 'healthy'").await?;
    let id = target.to_string();
    let (code, printed, said) = world.run(&["target", "configure", &id, "--base-url", &other_host])?;
    assert_eq!(code, 0, "{printed}{said}");
    let reason = "its address leads to another host";
    shown(&format!("SELECT count(*) FROM channel_targets WHERE base_url = '{other_host}'")).await?;
    shown(&format!("SELECT 2 * count(*) FROM target_health WHERE reason = '{reason}'")).await?;
    let (_, printed, _) = world.run(&["--output", "json", "target", "show", &id])?;
    let told: Value = serde_json::from_str(&printed)?;
    assert_eq!(told["health"], "unknown", "{told:#}");
    assert_eq!(told["health_detail"]["reason"], reason, "{told:#}");
    assert_eq!(world.commands().target(target, taken(), &metadata).await?, None, "the word of the previous host");
    let store = DispatchStore::new(world.pool.clone(), uuid::Uuid::now_v7());
    store.know_lane(target).await?;
    let round = store.open_check(target).await?;
    assert!(round.lanes[0].strangers_scopes.is_some(), "it has yet to be taken where it takes theirs");
    drop((round, service));
    world.close().await
}

#[tokio::test]
async fn the_egress_limit_holds_over_all_targets() -> anyhow::Result<()> {
    let accounts = [7301, 7302, 7303];
    let world = World::new(&accounts).await?;
    let units = names(15);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    let mut targets = Vec::new();
    for account in accounts {
        targets.push(world.target(account, RateLimit::new(100, 1_000)?).await?);
    }
    let service = world.serve_with("", &["--egress-limit", "20/4s"])?;
    world.taken(15, 1).await?;
    for (target, units) in targets.iter().zip(units.chunks(5)) {
        world.link(*target, units).await?;
    }
    world.drained(Duration::from_secs(90)).await?;
    let summary = world.sandbox.get("/summary?window_ms=4000").await?;
    let worst = summary["ips"]["127.0.0.1"]["worst_window"].as_i64();
    assert!(worst <= Some(20), "{summary}");
    assert!(worst >= Some(15), "the budget is used: {summary}");
    // Of the account, which has no limit, nothing is counted. Of the address, where everybody's calls leave from, it is told whether it
    // is full, and not how much of it the others use.
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    for (taken, shown) in [(20, "20 of 20"), (7, "Not full")] {
        sqlx::query(
            "UPDATE rate_slots SET free_at = CASE WHEN slot <= $1 THEN now() + interval '1 hour' ELSE '-infinity' END
             WHERE scope = 'egress:default'",
        )
        .bind(taken)
        .execute(&world.pool)
        .await?;
        let page = viewer.get(&format!("/targets/{}", targets[0])).await?.expect(200)?.text;
        let address = format!("<h3>Address that calls leave from</h3><p><strong>{shown}</strong>");
        assert!(page.contains(&address) && !page.contains("7 of 20</strong>"), "{page}");
        assert!(page.contains("<h3>Account at the channel</h3><p>No limit is set</p></div>"), "{page}");
    }
    world.close().await
}

#[tokio::test]
async fn availability_goes_before_content_when_the_window_is_tight() -> anyhow::Result<()> {
    use end_to_end::unit::{described, first_range};
    let world = World::new(&[7400]).await?;
    let target = world.target(7400, RateLimit::new(500, 1_000)?).await?;
    let mut service = world.serve("")?;
    let units = names(20);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(20, 1).await?;
    world.link(target, &units).await?;
    world.drained(Duration::from_secs(60)).await?;
    let metadata = world.metadata(target)?;
    let tight = domain::target::TargetCommand::Configure(domain::target::Configuration {
        rate_limit: Some(RateLimit::new(4, 1_000)?),
        ..domain::target::Configuration::default()
    });
    world.commands().target(target, tight, &metadata).await?;
    let pause = domain::target::TargetCommand::Pause { reason: "test".to_owned() };
    world.commands().target(target, pause, &metadata).await?;
    let before = world.sandbox.arrivals(7400).await?.len();
    let mut changes: Vec<Value> = units[..15].iter().map(|name| described(name, 2, "Other words.")).collect();
    changes.extend(units[15..].iter().map(|name| first_range(name, 2, false)));
    changes.extend(units[15..].iter().map(|name| first_range(name, 3, true)));
    changes.extend(units[15..].iter().map(|name| first_range(name, 4, false)));
    world.publish(&changes).await?;
    wait_until("the changes wait", Duration::from_secs(20), || async {
        let queued = world.count("SELECT count(*) FROM sync_queue").await?;
        Ok(if queued == 20 { Ok(()) } else { Err(format!("{queued} queued")) })
    })
    .await?;
    world.commands().target(target, domain::target::TargetCommand::Resume, &metadata).await?;
    world.drained(Duration::from_secs(60)).await?;
    let purposes: Vec<String> = world.sandbox.arrivals(7400).await?[before..]
        .iter()
        .filter_map(|arrival| arrival["purpose"].as_str().map(str::to_owned))
        .filter(|purpose| purpose.ends_with("_put"))
        .collect();
    // The last nights and the first words may have been granted in one round, and race from there.
    let last_calendar = purposes.iter().rposition(|purpose| purpose == "calendar_put").expect("nights were sent");
    assert!(purposes.iter().any(|purpose| purpose == "content_put") && last_calendar < 7, "{purposes:?}");
    assert!(service.stop()?, "SIGTERM ends it well");
    world.close().await
}

#[tokio::test]
async fn of_targets_that_share_an_account_the_strictest_account_limit_counts() -> anyhow::Result<()> {
    let world = World::new(&[7450]).await?;
    let units = names(12);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    let strict = world.target(7450, RateLimit::new(100, 1_000)?).await?;
    let metadata = world.metadata(strict)?;
    let limit = Some(Some(RateLimit::new(12, 3_000)?));
    let change = domain::target::Configuration { account_rate_limit: limit, ..Default::default() };
    world.commands().target(strict, domain::target::TargetCommand::Configure(change), &metadata).await?;
    let other = world.target(7450, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    world.taken(12, 1).await?;
    world.link(strict, &units[..6]).await?;
    world.link(other, &units[6..]).await?;
    world.drained(Duration::from_secs(60)).await?;
    let summary = world.sandbox.get("/summary?window_ms=3000").await?;
    let worst = summary["accounts"]["7450"]["worst_window"].as_i64();
    assert!(worst <= Some(12), "{summary}");
    assert_eq!(world.sandbox.listings(7450).await?.len(), 12);
    world.close().await
}

/// A target of this caller's, by its id.
async fn make(world: &World, caller: &Api, account: u64, secret: &str) -> anyhow::Result<String> {
    let wanted = json!({
        "account_id": ACCOUNT, "name": "Hostaway", "base_url": format!("{}/v1", world.sandbox.url),
        "channel_account": account.to_string(), "secret": secret, "rate_limit": "100/1s",
        "account_rate_limit": "30/10s",
    });
    let made = caller.post("/api/channels/targets", &wanted).await?.expect(201)?.json();
    Ok(made["target_id"].as_str().unwrap_or_default().to_owned())
}

/// When a token was asked for.
async fn logins(world: &World) -> anyhow::Result<Vec<u64>> {
    let mut arrivals = world.sandbox.arrivals(7461).await?;
    arrivals.retain(|arrival| arrival["path"].as_str().is_some_and(|path| path.ends_with("/accessTokens")));
    Ok(times(&arrivals))
}

/// Whether a check ended because strangers had no slot for a token.
fn waits(made: &Value) -> bool {
    made["check"]["detail"].as_str().is_some_and(|words| words.contains("one login in 10 s"))
}

/// What they call is counted for the account as well, a refused login too: eight targets that were checked again and again took nine
/// calls of ten. And more of them than a dispatcher makes checks at the same time kept everybody's waiting.
#[tokio::test(flavor = "multi_thread")]
async fn whose_secret_an_account_never_took_gets_one_login_in_ten_seconds() -> anyhow::Result<()> {
    const GUESSES: usize = 70;
    const LENGTH: Duration = Duration::from_secs(25);
    let world = World::new(&[7461, 7462]).await?;
    let service = world.serve_with("", &["--api-rate", "200"])?;
    let nobody = Api::of(&service).await?;
    let caller = |org: &str| nobody.as_caller(&world, org, None, "owner");
    let (own, foreign) = (caller(ORG)?, caller("elsewhere")?);
    let (newcomer, neighbour) = (caller("newcomer")?, caller("neighbour")?);
    let check = |target: &str| format!("/api/channels/targets/{target}/check");
    let target = make(&world, &own, 7461, "secret-7461").await?;
    own.post(&check(&target), &json!({})).await?.expect(200)?;
    wait_until("its credentials are known to be taken", Duration::from_secs(20), || async {
        let healthy = world.count("SELECT count(*) FROM channel_targets WHERE health = 'healthy'").await?;
        Ok(if healthy == 1 { Ok(()) } else { Err("it is not healthy yet".to_owned()) })
    })
    .await?;
    let mut paths = Vec::new();
    for guess in 0..GUESSES {
        paths.push(check(&make(&world, &foreign, 7461, &format!("guess {guess}")).await?));
    }
    let second = check(&make(&world, &newcomer, 7461, "secret-7461").await?);
    let elsewhere = check(&make(&world, &neighbour, 7462, "secret-7462").await?);
    let before = logins(&world).await?.len();
    let began = Instant::now();
    let guesses = paths.iter().map(|path| {
        let foreign = foreign.clone();
        async move {
            let mut told = false;
            while began.elapsed() < LENGTH {
                let made = foreign.post(path, &json!({})).await?.json();
                told |= waits(&made);
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            anyhow::Ok(told)
        }
    });
    let sync = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.publish(&[unit("villa-000", 1)]).await?;
        world.taken(1, 1).await?;
        world.link(target.parse::<TargetId>()?, &names(1)).await?;
        let linked = Instant::now();
        world.drained(Duration::from_secs(30)).await?;
        anyhow::Ok(linked.elapsed())
    };
    let others_check = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let asked = Instant::now();
        let made = neighbour.post(&elsewhere, &json!({})).await?.expect(200)?.json();
        anyhow::ensure!(made["check"]["class"] == "accepted", "{made}");
        anyhow::Ok(asked.elapsed())
    };
    let taken = async {
        while began.elapsed() < LENGTH {
            if newcomer.post(&second, &json!({})).await?.json()["check"]["class"] == "accepted" {
                return anyhow::Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        anyhow::Ok(false)
    };
    let (took, waited, is_in, told) = tokio::try_join!(sync, others_check, taken, try_join_all(guesses))?;
    assert!(took < Duration::from_secs(8), "its own sync took {took:?}");
    assert!(waited < Duration::from_secs(8), "a check at another account took {waited:?}");
    assert!(is_in, "a newcomer whose credentials are good has its turn");
    assert!(told.contains(&true), "what they wait for is told");
    while waits(&foreign.post(&paths[0], &json!({})).await?.json()) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let asked = Instant::now();
    let made = foreign.post(&paths[1], &json!({})).await?.json();
    assert!(waits(&made), "its organisation had its login just now: {made}");
    assert!(asked.elapsed() < Duration::from_secs(8), "30 s are longer than a check waits, so it does not wait at all");
    let refused = logins(&world).await?.split_off(before);
    assert!(refused.len() > 1, "one was refused, one taken: {refused:?}");
    let closest = refused.windows(2).map(|pair| pair[1] - pair[0]).min();
    assert!(closest.is_none_or(|apart| apart >= WINDOW_US), "{refused:?}");
    world.close().await
}
