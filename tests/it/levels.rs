//! The service levels, as the command line and the API tell them.

use std::time::Duration;

use anyhow::Context as _;
use domain::ids::TargetId;
use domain::metadata::Actor;
use domain::target::TargetCommand;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::process::Process;
use end_to_end::unit::{all_described, described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};
use services::views::health::check_now;

fn level<'a>(levels: &'a Value, name: &str) -> &'a Value {
    let found = levels["levels"].as_array().and_then(|all| all.iter().find(|level| level["name"] == name));
    found.unwrap_or(&Value::Null)
}

/// A target with units that are in step.
struct Replayed {
    target: TargetId,
    units: Vec<String>,
    /// The first sync of the first unit, which was replayed.
    first: String,
}

/// Four units of a new target reach the channel, and the first sync of one of them once more.
async fn synced_and_replayed(world: &World, account: u64) -> anyhow::Result<Replayed> {
    let target = world.target(account, RateLimit::new(100, 1_000)?).await?;
    let units = names(4);
    let listings = world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(4, 1).await?;
    world.drained(Duration::from_secs(60)).await?;
    let first: String = sqlx::query_scalar("SELECT sync_id::text FROM outbound_audit WHERE listing_id = $1")
        .bind(listings[0].0)
        .fetch_one(&world.pool)
        .await?;
    let replay = ["listing", "replay", &listings[0].to_string(), "--sync-id", &first, "--reason", "a test"];
    let (code, _, said) = world.run(&replay)?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(60)).await?;
    Ok(Replayed { target, units, first })
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_told_by_what_happened_and_are_silent_where_nothing_did() -> anyhow::Result<()> {
    let world = World::new(&[8160]).await?;
    let service = world.serve("")?;
    let api = Api::of(&service).await?;
    let own = api.as_caller(&world, ORG, None, "viewer")?;
    let before = own.get("/api/channels/service-levels").await?.expect(200)?.json();
    for name in ["syncs_in_time", "sync_failures", "audit_coverage", "throttled_calls", "snapshot_replay"] {
        assert_eq!(
            (&level(&before, name)["value"], &level(&before, name)["holds"]),
            (&Value::Null, &Value::Null),
            "{name}"
        );
    }
    synced_and_replayed(&world, 8160).await?;
    let after = own.get("/api/channels/service-levels").await?.expect(200)?.json();
    for name in
        ["syncs_in_time", "sync_failures", "audit_coverage", "throttled_calls", "snapshot_replay", "read_models"]
    {
        assert_eq!(level(&after, name)["holds"], true, "{}", level(&after, name));
    }
    assert_eq!(level(&after, "syncs_in_time")["observed"], 5);
    assert_eq!(level(&after, "audit_coverage")["value"], 1.0);

    // A channel that refuses a unit for good breaks the promise.
    world.sandbox.fault(json!({"kind": "status", "code": 400, "method": "PUT"})).await?;
    world.publish(&[described("villa-001", 2, "Refused.")]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(60)).await?;
    let (code, printed, said) = world.run(&["--output", "json", "levels", "--org", ORG])?;
    assert_eq!(code, 1, "a level does not hold: {said}");
    let failures = level(&serde_json::from_str(&printed)?, "sync_failures").clone();
    assert_eq!(failures["holds"], false, "{failures}");
    let foreign = api.as_caller(&world, "elsewhere", None, "owner")?;
    let foreign = foreign.get("/api/channels/service-levels").await?.expect(200)?.json();
    assert_eq!(level(&foreign, "sync_failures")["value"], Value::Null);
    drop(service);
    world.close().await
}

/// The promises that do not hold, of which the command line, its exit code and the API tell alike; and all that was told.
async fn broken(world: &World, own: &Api) -> anyhow::Result<(Vec<String>, Value)> {
    let names = |told: &Value| -> Vec<String> {
        let levels = told["levels"].as_array().into_iter().flatten().filter(|level| level["holds"] == false);
        levels.filter_map(|level| level["name"].as_str().map(str::to_owned)).collect()
    };
    let (code, printed, said) = world.run(&["--output", "json", "levels", "--org", ORG])?;
    let told: Value = serde_json::from_str(&printed)?;
    let by_api = own.get("/api/channels/service-levels").await?.expect(200)?.json();
    assert_eq!(names(&told), names(&by_api), "{told}\n{by_api}");
    assert_eq!(code, i32::from(!names(&told).is_empty()), "{said}");
    Ok((names(&told), told))
}

async fn change(world: &World, sql: &str) -> anyhow::Result<()> {
    let changed = sqlx::query(sql).execute(&world.pool).await?.rows_affected();
    anyhow::ensure!(changed > 0, "it changed nothing: {sql}");
    Ok(())
}

async fn overview(own: &Api) -> anyhow::Result<String> {
    Ok(own.send_text(Method::GET, "/", &[("accept", "text/html")], String::new()).await?.expect(200)?.text)
}

/// A world in which every promise holds, a replay's too.
struct Held {
    world: World,
    own: Api,
    /// It answers the API and does nothing else.
    front: Process,
    rest: Process,
    target: TargetId,
    units: Vec<String>,
    /// The first sync of the first unit, which was replayed.
    first: String,
}

async fn where_all_hold(account: u64) -> anyhow::Result<Held> {
    let world = World::new(&[account]).await?;
    let front = world.serve("api")?;
    let own = Api::of(&front).await?.as_caller(&world, ORG, None, "viewer")?;
    let rest = world.serve("intake,relay,projector,dispatcher")?;
    let Replayed { target, units, first } = synced_and_replayed(&world, account).await?;
    let (which, told) = broken(&world, &own).await?;
    assert!(which.is_empty(), "{told}");
    Ok(Held { world, own, front, rest, target, units, first })
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_were_refused_and_syncs_that_came_late_are_told_as_broken_each_alone() -> anyhow::Result<()> {
    let Held { world, own, mut rest, target, units, front, .. } = where_all_hold(8161).await?;
    // Four, of some thirty calls.
    let refusing = json!({"kind": "rate_limited", "retry_after_s": 1, "method": "PUT", "count": 4});
    world.sandbox.fault(refusing).await?;
    world.publish(&all_described(&units, 2, "Other words.")).await?;
    world.taken(4, 2).await?;
    world.drained(Duration::from_secs(60)).await?;
    let (which, told) = broken(&world, &own).await?;
    assert_eq!(which, ["throttled_calls"], "{told}");
    change(&world, "UPDATE sync_activity SET throttled = 0").await?;

    anyhow::ensure!(rest.stopped().await?, "{}", rest.printed());
    let base = world.serve("intake,relay,projector")?;
    world.publish(&all_described(&units, 3, "Further words.")).await?;
    world.taken(4, 3).await?;
    wait_until("the syncs wait", Duration::from_secs(30), || async {
        let queued = world.count("SELECT count(*) FROM sync_queue").await?;
        let asked = world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'pending'").await?;
        Ok(if (queued, asked) == (4, 4) { Ok(()) } else { Err(format!("{queued} queued, {asked} pending")) })
    })
    .await?;
    assert_eq!(broken(&world, &own).await?.0, [""; 0]);
    change(&world, "UPDATE sync_queue SET requested_at = requested_at - interval '6 minutes'").await?;
    let (which, told) = broken(&world, &own).await?;
    assert_eq!(which, ["syncs_in_time"], "{told}");
    let waiting = level(&told, "syncs_in_time").clone();
    let lifecycle = async |command: TargetCommand, now: &str| {
        world.commands().target(target, command, &world.metadata(target)?).await?;
        let sql = format!("SELECT count(*) FROM channel_targets WHERE lifecycle = '{now}'");
        wait_until("the read model shows it", Duration::from_secs(30), || async {
            Ok(if world.count(&sql).await? == 1 { Ok(()) } else { Err(format!("it is not {now}")) })
        })
        .await
    };
    lifecycle(TargetCommand::Pause { reason: "a test".to_owned() }, "paused").await?;
    assert_eq!(broken(&world, &own).await?.0, [""; 0], "what an operator holds back is not late");
    lifecycle(TargetCommand::Resume, "active").await?;
    let late = "UPDATE outbound_audit SET requested_at = requested_at - interval '6 minutes' WHERE outcome = 'pending'";
    change(&world, late).await?;
    // What takes their place takes over their wait: a listing that changes all the time is late, too.
    world.publish(&all_described(&units, 4, "Last words.")).await?;
    world.taken(4, 4).await?;
    wait_until("the last change waits", Duration::from_secs(30), || async {
        let queued = world.count("SELECT count(*) FROM sync_queue WHERE revision = 4").await?;
        let asked = "SELECT count(*) FROM outbound_audit WHERE outcome = 'pending' AND revision = 4";
        let asked = world.count(asked).await?;
        Ok(if (queued, asked) == (4, 4) { Ok(()) } else { Err(format!("{queued} queued, {asked} pending")) })
    })
    .await?;
    let (which, told) = broken(&world, &own).await?;
    assert_eq!(which, ["syncs_in_time"], "{told}");
    assert_eq!(level(&told, "syncs_in_time"), &waiting, "nothing has begun anew: {told}");
    let queued = own.get("/api/channels/queue").await?.expect(200)?.json();
    let behind = |row: &Value| row["behind_since"].as_str() < row["requested_at"].as_str();
    assert!(queued["items"].as_array().is_some_and(|rows| rows.len() == 4 && rows.iter().all(behind)), "{queued}");
    let dispatcher = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(60)).await?;
    let (which, told) = broken(&world, &own).await?;
    assert_eq!(which, ["syncs_in_time"], "{told}");
    let ended = level(&told, "syncs_in_time");
    assert_eq!((&ended["value"], &ended["observed"]), (&waiting["value"], &json!(13)), "four of them: {ended}");
    drop((dispatcher, base, front));
    world.close().await
}

/// How many calls were refused for their rate, and of how many.
async fn throttled(world: &World, own: &Api) -> anyhow::Result<(f64, u32)> {
    let (_, told) = broken(world, own).await?;
    let level = level(&told, "throttled_calls");
    let calls = u32::try_from(level["observed"].as_i64().unwrap_or_default())?;
    Ok(((level["value"].as_f64().unwrap_or_default() * f64::from(calls)).round(), calls))
}

/// As they are in the metrics, by which the alert goes.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_checks_and_of_looks_for_drift_are_among_those_of_which_few_may_be_refused() -> anyhow::Result<()> {
    let Held { world, own, rest, target, units, front, .. } = where_all_hold(8164).await?;
    let (none, of_syncs) = throttled(&world, &own).await?;
    assert_eq!(none, 0.0);
    let refusing = json!({"kind": "rate_limited", "retry_after_s": 1, "method": "GET", "count": 1});
    world.sandbox.fault(refusing.clone()).await?;
    let check = check_now(&world.pool, target, &Actor::cli("tester")).await?.context("a dispatcher makes it")?;
    assert_eq!((check.status, check.calls), (Some(429), 1));
    assert_eq!(throttled(&world, &own).await?, (1.0, of_syncs + 1));

    let api = Api::of(&front).await?;
    let listing: uuid::Uuid = sqlx::query_scalar("SELECT listing_id FROM channel_listings WHERE unit_id = $1")
        .bind(&units[0])
        .fetch_one(&world.pool)
        .await?;
    world.sandbox.fault(refusing).await?;
    let drift = format!("/api/channels/listings/{listing}/drift");
    let publisher = api.as_caller(&world, ORG, None, "channel-publisher")?;
    let looked = publisher.send(Method::POST, &drift, &[], None).await?;
    assert!(!looked.status.is_success(), "{}", looked.text);
    let made = u32::try_from(world.count("SELECT count(*) FROM drift_calls").await?)?;
    assert!(made > 0, "{}", looked.text);
    assert_eq!(throttled(&world, &own).await?, (2.0, of_syncs + 1 + made));
    let foreign = api.as_caller(&world, "elsewhere", None, "owner")?;
    let foreign = foreign.get("/api/channels/service-levels").await?.expect(200)?.json();
    assert_eq!(level(&foreign, "throttled_calls")["value"], Value::Null);
    drop((rest, front));
    world.close().await
}

/// By the times and rows that stand in the database: nobody waits for ten minutes here.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_replay_a_late_read_model_and_a_hole_in_the_audit_are_told_as_broken_each_alone() -> anyhow::Result<()> {
    let Held { world, own, mut rest, first, front, .. } = where_all_hold(8162).await?;
    assert!(!overview(&own).await?.contains(">broken<"));
    anyhow::ensure!(rest.stopped().await?, "{}", rest.printed());
    let slow = "UPDATE outbound_audit SET finished_at = finished_at + interval '11 minutes' WHERE cause = 'replayed'";
    change(&world, slow).await?;
    let (which, told) = broken(&world, &own).await?;
    assert_eq!(which, ["snapshot_replay"], "{told}");
    // One that failed is no replay, neither a slow one nor one in time.
    let end = |outcome: &str| format!("UPDATE outbound_audit SET outcome = '{outcome}' WHERE cause = 'replayed'");
    change(&world, &end("rejected")).await?;
    let told = own.get("/api/channels/service-levels").await?.expect(200)?.json();
    let replays = level(&told, "snapshot_replay");
    assert_eq!((&replays["observed"], &replays["value"]), (&json!(0), &Value::Null), "{told}");
    change(&world, &end("accepted")).await?;
    change(&world, &slow.replace('+', "-")).await?;

    // One read model of all has not seen the last event, which is half a minute old.
    let older = "UPDATE events SET recorded_at = recorded_at - interval '30 seconds'
                 WHERE position = (SELECT max(position) FROM events)";
    change(&world, older).await?;
    let seen_but = |unseen: u8| {
        format!(
            "UPDATE projection_checkpoints SET position = (SELECT max(position) - {unseen} FROM events)
             WHERE name = 'target_health'"
        )
    };
    assert_eq!(broken(&world, &own).await?.0, [""; 0], "it was seen");
    change(&world, &seen_but(1)).await?;
    let (which, told) = broken(&world, &own).await?;
    assert_eq!(which, ["read_models"], "{told}");
    // What the dashboard shows may be some seconds old.
    wait_until("the dashboard shows it", Duration::from_secs(20), || async {
        Ok(if overview(&own).await?.contains(">broken<") { Ok(()) } else { Err("it shows none".to_owned()) })
    })
    .await?;
    change(&world, &seen_but(0)).await?;
    // An event so far beyond that one organisation's are not looked for among those of all others.
    let far = "INSERT INTO events OVERRIDING SYSTEM VALUE
               SELECT position + 30000, gen_random_uuid(), org_id, account_id, aggregate_type, gen_random_uuid()::text, 1, event_type,
                   event_version, payload, metadata, recorded_at FROM events ORDER BY position DESC LIMIT 1";
    change(&world, far).await?;
    let (which, told) = broken(&world, &own).await?;
    assert_eq!(which, ["read_models"], "{told}");
    change(&world, "DELETE FROM events WHERE position = (SELECT max(position) FROM events)").await?;

    for table in ["outbound_attempts", "outbound_audit"] {
        change(&world, &format!("DELETE FROM {table} WHERE sync_id = '{first}'")).await?;
    }
    let (which, told) = broken(&world, &own).await?;
    assert_eq!(which, ["audit_coverage"], "{told}");
    assert_eq!(level(&told, "audit_coverage")["observed"], 5, "the jobs of the journal: {told}");
    drop(front);
    world.close().await
}
