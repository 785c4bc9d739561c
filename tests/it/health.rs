//! Targets that are down, that refuse, and that nobody has called for a while: they are checked inside of their windows,
//! left alone while they fail, and their work waits for them.

use std::time::{Duration, Instant};

use adapters::postgres::MIGRATOR;
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use domain::channel::ChannelKind;
use domain::ids::TargetId;
use domain::metadata::{Actor, Metadata};
use domain::target::{NewTarget, TargetCommand};
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::process::Process;
use end_to_end::unit::{described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::{Value, json};
use services::views::circuit::known_since;
use services::views::health::check_now;

async fn until(world: &World, what: &str, limit_s: u64, sql: &str) -> anyhow::Result<()> {
    wait_until(what, Duration::from_secs(limit_s), || async {
        let count = world.count(sql).await?;
        Ok(if count > 0 { Ok(()) } else { Err(format!("{count}: {sql}")) })
    })
    .await
}

async fn is(world: &World, health: &str) -> anyhow::Result<()> {
    let seen = format!("SELECT count(*) FROM channel_targets WHERE health = '{health}'");
    until(world, &format!("the target is {health}"), 60, &seen).await
}

/// Why the work of the targets waits, as the command line says.
fn statuses(world: &World) -> anyhow::Result<Vec<String>> {
    let (_, printed, _) = world.run(&["--output", "json", "queue", "--limit", "100"])?;
    let queue: Value = serde_json::from_str(&printed)?;
    let status = |work: &Value| work["status"].as_str().unwrap_or_default().to_owned();
    Ok(queue["work"].as_array().map(|work| work.iter().map(status).collect()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_is_left_alone_and_probed_back_and_its_queue_drains() -> anyhow::Result<()> {
    const UNITS: usize = 12;
    let world = World::new(&[8170]).await?;
    let target = world.target(8170, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let units = names(UNITS);
    world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(i64::try_from(UNITS)?, 1).await?;
    world.drained(Duration::from_secs(60)).await?;

    world.sandbox.fault(json!({"kind": "cut_before", "account": 8170})).await?;
    let news: Vec<Value> = units.iter().map(|name| described(name, 2, "Open again.")).collect();
    world.publish(&news).await?;
    until(&world, "the circuit opens", 60, "SELECT count(*) FROM dispatch_circuits WHERE opened > 0").await?;
    until(
        &world,
        "what was under way has ended",
        60,
        "SELECT count(*) FROM dispatch_circuits WHERE opened > 0
         AND NOT EXISTS (SELECT FROM dispatch_leases WHERE NOT done AND lease_until > now())
         AND (SELECT min(position) FROM projection_checkpoints) = (SELECT max(position) FROM events)",
    )
    .await?;
    is(&world, "unreachable").await?;
    let opened = world.count("SELECT max(opened)::bigint FROM dispatch_circuits").await?;
    let (arrivals, attempts) =
        (world.sandbox.arrivals(8170).await?.len(), world.count("SELECT count(*) FROM outbound_attempts").await?);
    let further = format!("SELECT count(*) FROM dispatch_circuits WHERE opened = {}", opened + 2);
    until(&world, "two checks have failed", 60, &further).await?;
    assert_eq!(world.sandbox.arrivals(8170).await?.len() - arrivals, 2, "a check each, and nothing else");
    assert_eq!(world.count("SELECT count(*) FROM outbound_attempts").await?, attempts, "what waits burns no attempt");
    let waits = statuses(&world)?;
    assert_eq!((waits.len(), waits.iter().all(|status| status == "circuit open")), (UNITS, true), "{waits:?}");
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let queue = api.get("/api/channels/queue").await?.expect(200)?.json();
    assert_eq!(queue["items"][0]["status"], "circuit open");
    let told = "attempts and checks of the target failed in a row, and it is left alone until a check is answered";
    what_waits_is_told_as_held_at_every_door(&world, &service, &api, told).await?;
    a_pause_hides_no_open_circuit(&world, &api, &target.to_string(), told).await?;
    let page = api.get(&format!("/targets/{target}")).await?.expect(200)?.text;
    assert!(page.contains(told) && page.contains("state bad\">circuit open"), "{page}");
    let answers = api.get(&format!("/api/channels/targets/{target}/health")).await?.expect(200)?.json();
    assert!(answers["circuit"]["failures"].as_i64() >= Some(5), "{answers}");
    for verb in ["show", "health"] {
        let (_, printed, _) = world.run(&["target", verb, &target.to_string()])?;
        assert!(printed.contains(told), "target {verb}: {printed}");
        // What it says beside that of attempts says that it counts no checks.
        let attempts = printed.lines().find(|line| line.contains("failed in a row") && !line.contains(told));
        assert!(attempts.is_none_or(|line| line.starts_with("sync attempts failed in a row")), "{printed}");
    }
    let overview = api.get("/").await?.expect(200)?.text;
    assert!(overview.contains(told) && overview.contains("state bad\">circuit open"), "{overview}");

    world.sandbox.heal().await?;
    world.drained(Duration::from_secs(150)).await?;
    is(&world, "healthy").await?;
    for listing in world.sandbox.listings(8170).await? {
        assert_eq!(listing["description"], "Open again.");
    }
    assert_eq!(world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'exhausted'").await?, 0);
    assert_eq!(world.count("SELECT count(*) FROM dispatch_circuits").await?, 0);
    let page = api.get(&format!("/targets/{target}")).await?.expect(200)?.text;
    assert!(!page.contains(told), "{page}");
    // Afterwards the wait is explained by the circuit.
    let waited =
        "SELECT listing_id FROM outbound_audit WHERE attempts = 0 OR attempts = 1 ORDER BY position DESC LIMIT 1";
    let waited: uuid::Uuid = sqlx::query_scalar(waited).fetch_one(&world.pool).await?;
    let explained = api.get(&format!("/api/channels/listings/{waited}/explain")).await?.expect(200)?.json();
    let held = explained["rules"].as_array().into_iter().flatten().find(|rule| rule["rule"] == "held");
    assert!(held.is_some_and(|held| held["holder"] == "circuit_open"), "{explained:#}");
    assert!(explained["words"].to_string().contains("its circuit was open from"), "{explained:#}");
    a_healthy_target_with_an_open_circuit_needs_somebody(&world, &api, target).await?;
    drop(service);
    world.close().await
}

/// Whoever resumes the target finds it held still.
async fn a_pause_hides_no_open_circuit(world: &World, api: &Api, target: &str, told: &str) -> anyhow::Result<()> {
    let listing: uuid::Uuid =
        sqlx::query_scalar("SELECT listing_id FROM sync_queue LIMIT 1").fetch_one(&world.pool).await?;
    let (code, _, said) = world.run(&["target", "pause", target, "--reason", "works on the roof"])?;
    assert_eq!(code, 0, "{said}");
    for page in ["explain", "preview"] {
        let got = api.get(&format!("/api/channels/listings/{listing}/{page}")).await?.expect(200)?.text;
        assert!(got.contains("works on the roof") && got.contains(told), "{page}: {got}");
    }
    for page in [format!("/targets/{target}"), format!("/listings/{listing}")] {
        wait_until("its page tells both", Duration::from_secs(20), || async {
            let got = api.get(&page).await?.expect(200)?.text;
            let paused = got.contains("paused: works on the roof") || got.contains("target paused");
            Ok(if paused && got.contains(told) { Ok(()) } else { Err(got) })
        })
        .await?;
    }
    each_door_names_all_that_holds_it(world, api, target, &listing.to_string()).await?;
    let (code, _, said) = world.run(&["target", "resume", target])?;
    assert_eq!(code, 0, "{said}");
    Ok(())
}

/// Its listing is paused, too: whoever resumes the target finds it held by that.
async fn each_door_names_all_that_holds_it(
    world: &World,
    api: &Api,
    target: &str,
    listing: &str,
) -> anyhow::Result<()> {
    let (code, _, said) = world.run(&["listing", "pause", listing, "--reason", "works in the garden"])?;
    assert_eq!(code, 0, "{said}");
    let all = json!(["target paused", "circuit open", "listing paused"]);
    let of_it = |rows: &Value| rows.as_array()?.iter().find(|row| row["listing_id"] == listing).cloned();
    wait_until("the queue names all of it", Duration::from_secs(20), || async {
        let queue = api.get(&format!("/api/channels/queue?target_id={target}")).await?.expect(200)?.json();
        let row = of_it(&queue["items"]).unwrap_or_default();
        Ok(if row["held_by"] == all && row["status"] == "target paused" { Ok(()) } else { Err(row.to_string()) })
    })
    .await?;
    let queue = ["queue", "--target", target, "--limit", "100"];
    let (_, printed, _) = world.run(&[&["--output", "json"][..], &queue].concat())?;
    let told = of_it(&serde_json::from_str::<Value>(&printed)?["work"]).context("a row")?;
    assert_eq!((&told["held_by"], &told["status"]), (&all, &json!("target paused")), "{told}");
    let (_, printed, _) = world.run(&queue)?;
    let line = printed.lines().find(|line| line.contains(listing)).unwrap_or_default();
    assert!(line.contains("target paused, circuit open, listing paused"), "{printed}");
    let page = api.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    let until = "until somebody resumes the target, and until its target answers a check, and until somebody resumes this listing.";
    assert!(page.contains(until), "{page}");
    let (code, _, said) = world.run(&["listing", "resume", listing])?;
    assert_eq!(code, 0, "{said}");
    Ok(())
}

/// The time at which its next attempt was due is over, and nothing comes of it before a check is answered.
async fn what_waits_is_told_as_held_at_every_door(
    world: &World,
    service: &Process,
    api: &Api,
    told: &str,
) -> anyhow::Result<()> {
    let overdue = "FROM outbound_audit WHERE outcome = 'pending' AND next_attempt_at < now()";
    until(world, "an attempt is overdue", 30, &format!("SELECT count(*) {overdue}")).await?;
    let (sync, listing): (uuid::Uuid, uuid::Uuid) =
        sqlx::query_as(&format!("SELECT sync_id, listing_id {overdue} LIMIT 1")).fetch_one(&world.pool).await?;
    let (_, printed, _) = world.run(&["--output", "json", "audit", "show", &sync.to_string()])?;
    let by_command: Value = serde_json::from_str(&printed)?;
    let path = format!("/api/channels/audit/{sync}");
    let by_api = api.get(&path).await?.expect(200)?.json();
    let explained = api.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?.json();
    for next in [&by_command["next"], &by_api["next"], &explained["next"]] {
        assert_eq!((&next["step"], &next["sync_id"]), (&json!("held"), &json!(sync)), "{next}");
        assert!(next["because"][0].as_str().is_some_and(|because| because.contains(told)), "{next}");
    }
    let (_, printed, _) = world.run(&["audit", "show", &sync.to_string()])?;
    let line = printed.lines().find(|line| line.starts_with("next attempt")).unwrap_or_default();
    assert!(line.contains("held") && line.contains(told), "{printed}");
    let page = api.get(&format!("/syncs/{sync}")).await?.expect(200)?.text;
    let next = page.split("Next attempt</dt>").nth(1).and_then(|rest| rest.split("</dd>").next()).unwrap_or_default();
    assert!(next.starts_with("<dd>held") && next.contains("in a row, and it is left alone"), "{page}");
    // Those who read the audit alone are not told what holds it, and of no time that is over.
    let analyst = Api::of(service).await?.as_caller(world, ORG, None, "analyst")?;
    assert_eq!(analyst.get(&path).await?.expect(200)?.json()["next"], Value::Null);
    let page = analyst.get(&format!("/syncs/{sync}")).await?.expect(200)?.text;
    assert!(!page.contains("Next attempt"), "{page}");
    Ok(())
}

/// What a circuit says is newer than what became of health.
async fn a_healthy_target_with_an_open_circuit_needs_somebody(
    world: &World,
    api: &Api,
    target: TargetId,
) -> anyhow::Result<()> {
    let told = "7 attempts and checks of the target failed in a row, and it is left alone";
    let overview = api.get("/").await?.expect(200)?.text;
    assert!(overview.contains("No target needs anybody"), "{overview}");
    // Its check, which would be answered, is not made meanwhile.
    for statement in [
        "INSERT INTO dispatch_checks (target_id, due_at) VALUES ($1, now() + interval '1 hour')
         ON CONFLICT (target_id) DO UPDATE SET due_at = excluded.due_at",
        "INSERT INTO dispatch_circuits (target_id, failures, opened) VALUES ($1, 7, 1)",
    ] {
        sqlx::query(statement).bind(target.0).execute(&world.pool).await?;
    }
    let overview = api.get("/").await?.expect(200)?.text;
    assert!(overview.contains(told) && overview.contains(&format!("target-{target}")), "{overview}");
    Ok(())
}

/// Of what was before, it is not said that no circuit was open.
#[tokio::test]
async fn openings_are_known_since_their_table_was_made() -> anyhow::Result<()> {
    let world = World::new(&[8176]).await?;
    let made = MIGRATOR.iter().find(|migration| migration.sql.contains("CREATE TABLE circuit_openings"));
    let made = made.context("a migration makes it")?.version;
    // A database that was brought forward by a step a day.
    sqlx::query("UPDATE _sqlx_migrations SET installed_on = now() - make_interval(days => 40 - version::int)")
        .execute(&world.pool)
        .await?;
    let installed = sqlx::query_scalar("SELECT installed_on FROM _sqlx_migrations WHERE version = $1").bind(made);
    let installed: DateTime<Utc> = installed.fetch_one(&world.pool).await?;
    assert_eq!(known_since(&world.pool).await?, installed);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_the_credentials_waits_and_a_check_that_succeeds_heals_it() -> anyhow::Result<()> {
    let world = World::new(&[8171]).await?;
    let target = world.target(8171, RateLimit::new(100, 1_000)?).await?;
    std::fs::write(world.path("secrets/hostaway-8171"), "not the secret")?;
    let service = world.serve("")?;
    let units = names(4);
    world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(4, 1).await?;
    is(&world, "unauthorised").await?;
    until(
        &world,
        "no worker keeps a listing",
        20,
        "SELECT (count(*) = 0)::int::bigint FROM dispatch_leases WHERE NOT done AND lease_until > now()",
    )
    .await?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let path = format!("/api/channels/targets/{target}");
    let refused = api.post(&format!("{path}/check"), &json!({})).await?.expect(200)?.json();
    assert_eq!((&refused["health"], &refused["check"]["class"]), (&json!("unauthorised"), &json!("unauthorised")));
    let waits = statuses(&world)?;
    assert_eq!((waits.len(), waits.iter().all(|status| status == "target unauthorised")), (4, true), "{waits:?}");
    needs_somebody(&world, &api, &target.to_string()).await?;
    assert_eq!(world.count("SELECT coalesce(max(attempts), 0)::bigint FROM outbound_audit").await?, 0);

    std::fs::write(world.path("secrets/hostaway-8171"), "secret-8171")?;
    let healed = api.post(&format!("{path}/check"), &json!({})).await?.expect(200)?.json();
    assert_eq!((&healed["health"], &healed["check"]["class"]), (&json!("healthy"), &json!("accepted")), "{healed}");
    world.drained(Duration::from_secs(60)).await?;
    assert_eq!(world.sandbox.listings(8171).await?.len(), 4);
    let failed = "SELECT count(*) FROM outbound_audit WHERE outcome <> 'accepted'";
    assert_eq!(world.count(failed).await?, 0);

    let history = api.get(&format!("{path}/health")).await?.expect(200)?.json();
    let classes: Vec<&str> =
        history["checks"].as_array().into_iter().flatten().filter_map(|check| check["class"].as_str()).collect();
    assert_eq!(classes[..2], ["accepted", "unauthorised"]);
    let (code, printed, said) = world.run(&["target", "check", &target.to_string()])?;
    assert_eq!(code, 0, "{printed}{said}");
    drop(service);
    world.close().await
}

/// What is told of a target whose credentials are refused, and of a sync that waits for it.
async fn needs_somebody(world: &World, api: &Api, target: &str) -> anyhow::Result<()> {
    let shown = api.get(&format!("/api/channels/targets/{target}")).await?.expect(200)?.json();
    assert_eq!((&shown["state"], &shown["lifecycle"]), (&json!("needs_credentials"), &json!("active")), "{shown}");
    let listed = api.get("/api/channels/targets").await?.expect(200)?.json();
    assert_eq!(listed["items"][0]["state"], "needs_credentials", "{listed}");
    let (_, printed, _) = world.run(&["target", "list"])?;
    assert!(printed.contains("needs credentials"), "{printed}");
    let health = api.get(&format!("/api/channels/targets/{target}/health")).await?.expect(200)?.json();
    assert_eq!(
        (&health["now"]["last_failure_of"], &health["now"]["last_failure_at"]),
        (&json!("check"), &health["checks"][0]["at"])
    );
    let tried = "SELECT listing_id, sync_id FROM outbound_audit WHERE class = 'unauthorised' LIMIT 1";
    let (listing, sync): (uuid::Uuid, uuid::Uuid) = sqlx::query_as(tried).fetch_one(&world.pool).await?;
    let explained = api.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?.json();
    let retried = explained["rules"].as_array().into_iter().flatten().find(|rule| rule["rule"] == "retried");
    assert_eq!(retried.map(|rule| &rule["due_at"]), Some(&Value::Null), "{explained:#}");
    assert!(
        explained["words"].to_string().contains("credentials that the channel takes, not at a time"),
        "{explained:#}"
    );
    let audited = api.get(&format!("/api/channels/audit/{sync}")).await?.expect(200)?.json();
    assert_eq!((&audited["outcome"], &audited["next_attempt_at"]), (&json!("pending"), &Value::Null), "{audited}");
    Ok(())
}

/// A target that is made with this secret, by the API.
async fn target_with(world: &World, api: &Api, account: u64, secret: &str) -> anyhow::Result<String> {
    let wanted = json!({
        "account_id": ACCOUNT, "name": "Hostaway", "base_url": format!("{}/v1", world.sandbox.url),
        "channel_account": account.to_string(), "secret": secret, "rate_limit": "100/1s",
    });
    let made = api.send(Method::POST, "/api/channels/targets", &[("idempotency-key", "one")], Some(&wanted)).await?;
    Ok(made.expect(201)?.json()["target_id"].as_str().unwrap_or_default().to_owned())
}

/// After a rotation a check knows the new secret alone. Where both are refused, it must not let the target go that the pushes
/// saw refused: the next push would only hold it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_new_and_old_secret_are_refused_is_held_until_one_is_taken() -> anyhow::Result<()> {
    let world = World::new(&[8175]).await?;
    let service = world.serve("")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let target = target_with(&world, &api, 8175, "secret-8175").await?;
    world.link(target.parse::<uuid::Uuid>().map(TargetId)?, &names(1)).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    is(&world, "healthy").await?;

    let account = |secret: &str| json!({ "account_id": 8175, "secret": secret });
    world.sandbox.send(Method::POST, "/accounts", &account("another")).await?;
    world.sandbox.fault(json!({ "kind": "expired_token", "path_prefix": "/v1/listings", "count": 1 })).await?;
    let path = format!("/api/channels/targets/{target}");
    api.post(&format!("{path}/credential"), &json!({ "secret": "mistyped" })).await?.expect(200)?;
    world.publish(&[described("villa-000", 2, "Nobody takes this.")]).await?;
    is(&world, "unauthorised").await?;
    for _ in 0..2 {
        let told = api.post(&format!("{path}/check"), &json!({})).await?.expect(200)?.json();
        assert_eq!((&told["health"], &told["check"]["class"]), (&json!("unauthorised"), &json!("unauthorised")));
        let detail = told["check"]["detail"].as_str().unwrap_or_default();
        assert!(!detail.contains("the previous one serves"), "{detail}");
    }
    // Nor does a target that cannot be reached have other credentials.
    world.sandbox.fault(json!({ "kind": "cut_before", "account": 8175 })).await?;
    for _ in 0..4 {
        api.post(&format!("{path}/check"), &json!({})).await?.expect(200)?;
    }
    world.sandbox.heal().await?;
    world.sandbox.send(Method::POST, "/accounts", &account("mistyped")).await?;
    let told = api.post(&format!("{path}/check"), &json!({})).await?.expect(200)?.json();
    assert_eq!(told["health"], json!("healthy"), "{told}");
    world.drained(Duration::from_secs(60)).await?;
    let changes: Vec<String> = sqlx::query_scalar("SELECT to_health FROM target_health_changes ORDER BY position")
        .fetch_all(&world.pool)
        .await?;
    assert_eq!(changes, ["healthy", "unknown", "unauthorised", "healthy"]);
    drop(service);
    world.close().await
}

/// The previous one serves nobody either: to say so would take the alarm away.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_from_one_refused_secret_to_another_leaves_the_target_held() -> anyhow::Result<()> {
    let world = World::new(&[8176]).await?;
    let service = world.serve("")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let target = target_with(&world, &api, 8176, "mistyped").await?;
    let path = format!("/api/channels/targets/{target}");
    for rotated in [false, true] {
        if rotated {
            let other = json!({ "secret": "mistyped as well" });
            api.post(&format!("{path}/credential"), &other).await?.expect(200)?;
        }
        let told = api.post(&format!("{path}/check"), &json!({})).await?.expect(200)?.json();
        assert_eq!(
            (&told["health"], &told["check"]["class"]),
            (&json!("unauthorised"), &json!("unauthorised")),
            "{told}"
        );
    }
    drop(service);
    world.close().await
}

/// What goes well with the previous one is no end of it: when that serves no more, everything of the target stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_new_secret_is_refused_stays_degraded_until_it_is_taken() -> anyhow::Result<()> {
    let world = World::new(&[8178]).await?;
    // Without the role that checks: a busy target has no turn, and its pushes have to tell.
    let service = world.serve("intake,relay,projector,dispatcher,api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let target = target_with(&world, &api, 8178, "secret-8178").await?;
    let path = format!("/api/channels/targets/{target}");
    world.link(target.parse::<uuid::Uuid>().map(TargetId)?, &names(1)).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    is(&world, "healthy").await?;

    api.post(&format!("{path}/credential"), &json!({ "secret": "mistyped" })).await?.expect(200)?;
    let push = async |revision: u64| -> anyhow::Result<()> {
        world.publish(&[described("villa-000", revision, &format!("Revision {revision}."))]).await?;
        world.taken(1, i64::try_from(revision)?).await?;
        world.drained(Duration::from_secs(30)).await
    };
    push(2).await?;
    is(&world, "degraded").await?;
    let why = "SELECT count(*) FROM target_health_changes
        WHERE to_health = 'degraded' AND reason LIKE 'the new secret is refused, the previous one serves for 300 s%401%'";
    assert_eq!(world.count(why).await?, 1);
    for revision in 3..=4 {
        let told = api.post(&format!("{path}/check"), &json!({})).await?.expect(200)?.json();
        let check = &told["check"];
        assert_eq!((&told["health"], &check["class"]), (&json!("degraded"), &json!("unauthorised")), "{told}");
        assert_eq!(check["status"], 401, "the refusal, and not what the previous one was answered: {told}");
        push(revision).await?;
    }
    let account = json!({ "account_id": 8178, "secret": "mistyped" });
    world.sandbox.send(Method::POST, "/accounts", &account).await?;
    let told = api.post(&format!("{path}/check"), &json!({})).await?.expect(200)?.json();
    assert_eq!((&told["health"], &told["check"]["status"]), (&json!("healthy"), &json!(200)), "{told}");
    let changes: Vec<String> = sqlx::query_scalar("SELECT to_health FROM target_health_changes ORDER BY position")
        .fetch_all(&world.pool)
        .await?;
    assert_eq!(changes, ["healthy", "unknown", "degraded", "healthy"]);
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_has_its_slot_in_a_busy_window_and_stays_within_it() -> anyhow::Result<()> {
    let world = World::new(&[8172]).await?;
    let target = world.target(8172, RateLimit::new(3, 1_000)?).await?;
    let _service = world.serve("")?;
    let units = names(12);
    world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    wait_until("the window is in use", Duration::from_secs(30), || async {
        let arrivals = world.sandbox.arrivals(8172).await?.len();
        Ok(if arrivals >= 6 { Ok(()) } else { Err(format!("{arrivals} calls")) })
    })
    .await?;
    for _ in 0..4 {
        let check = check_now(&world.pool, target, &Actor::cli("tester")).await?.expect("a dispatcher makes it");
        assert_eq!((check.class.as_str(), check.asked_by.as_str()), ("accepted", "tester"));
    }
    assert!(world.count("SELECT count(*) FROM sync_queue").await? > 0, "the lane was busy all the time");
    world.drained(Duration::from_secs(90)).await?;
    let summary = world.sandbox.get("/summary?window_ms=1000").await?;
    assert_eq!(summary["accounts"]["8172"]["worst_window"], 3, "{summary}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_schedulers_and_two_dispatchers_check_once_and_not_what_is_held() -> anyhow::Result<()> {
    let world = World::new(&[8173, 8174]).await?;
    let (target, held) =
        (world.target(8173, RateLimit::default()).await?, world.target(8174, RateLimit::default()).await?);
    let pause = TargetCommand::Pause { reason: "test".to_owned() };
    world.commands().target(held, pause, &world.metadata(held)?).await?;
    let rarely = ["--health-interval-s", "86400"];
    let _one = world.serve_with("relay,projector,dispatcher,health", &rarely)?;
    let _other = world.serve_with("dispatcher,health", &rarely)?;
    until(&world, "the plan is made", 30, "SELECT count(*) FROM dispatch_checks WHERE next_at < 'infinity'").await?;
    for turn in 1..=4 {
        sqlx::query("UPDATE dispatch_checks SET next_at = now() - interval '1 second'").execute(&world.pool).await?;
        let made = format!("SELECT (count(*) = {turn})::int::bigint FROM health_checks");
        until(&world, "the check is made", 30, &made).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let of_target = format!("SELECT count(*) FROM health_checks WHERE target_id = '{target}' AND class = 'accepted'");
    assert_eq!((world.count(&of_target).await?, world.count("SELECT count(*) FROM health_checks").await?), (4, 4));
    let probes = world.sandbox.arrivals(8173).await?;
    let probes = probes.iter().filter(|arrival| arrival["method"] == "GET").count();
    assert_eq!(probes, 4);
    assert_eq!(world.sandbox.arrivals(8174).await?.len(), 0, "a paused target is not checked by itself");
    is(&world, "healthy").await?;
    world.close().await
}

/// However often targets are checked, one whose circuit is open is checked at the time that this names, and when somebody wants to
/// know.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_interval_does_not_hurry_the_checks_of_an_open_circuit() -> anyhow::Result<()> {
    let world = World::new(&[8176]).await?;
    let target = world.target(8176, RateLimit::new(100, 1_000)?).await?;
    world.sandbox.fault(json!({"kind": "cut_before", "account": 8176})).await?;
    let often = ["--health-interval-s", "1"];
    let _service = world.serve_with("relay,projector,dispatcher,health", &often)?;
    // The fifth opens it.
    until(&world, "seven checks have failed", 90, "SELECT (count(*) >= 7)::int::bigint FROM health_checks").await?;
    let waited =
        "SELECT extract(epoch FROM at - lag(at) OVER (ORDER BY at))::float8 FROM health_checks ORDER BY at LIMIT 7";
    let waited: Vec<Option<f64>> = sqlx::query_scalar(waited).fetch_all(&world.pool).await?;
    // 5 s and 10 s, and up to a quarter less.
    let enough = [(5, 3.7), (6, 7.4)].map(|(nth, least)| waited.get(nth).copied().flatten() >= Some(least));
    assert_eq!(enough, [true, true], "{waited:?}");

    let check = check_now(&world.pool, target, &Actor::cli("tester")).await?.expect("a dispatcher makes it");
    assert_eq!((check.class == "accepted", check.asked_by.as_str()), (false, "tester"));
    let (code, printed, _) = world.run(&["target", "check", &target.to_string()])?;
    assert!(code == 1 && printed.contains("this check, which failed, leaves that time as it was"), "{printed}");
    let due = "SELECT max(due_at) - max(h.at) <= interval '20 seconds' FROM dispatch_checks
        CROSS JOIN health_checks AS h WHERE h.asked_by LIKE 'service:%'";
    assert!(sqlx::query_scalar::<_, bool>(due).fetch_one(&world.pool).await?, "its own is at its time");
    world.sandbox.heal().await?;
    let check = check_now(&world.pool, target, &Actor::cli("tester")).await?.expect("a dispatcher makes it");
    assert_eq!(check.class, "accepted");
    assert_eq!(world.count("SELECT count(*) FROM dispatch_circuits").await?, 0);
    world.close().await
}

/// Their calls are never answered, and there are more of them than a dispatcher makes checks at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_whose_targets_hang_keeps_nobody_else_from_a_check() -> anyhow::Result<()> {
    const HANGING: usize = 80;
    let world = World::new(&[8177]).await?;
    let target = world.target(8177, RateLimit::default()).await?;
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let base_url = format!("http://{}/v1", silent.local_addr()?);
    for number in 0..HANGING {
        let target_id = TargetId(uuid::Uuid::now_v7());
        let create = TargetCommand::Create(NewTarget {
            target_id,
            org_id: "elsewhere".parse()?,
            account_id: ACCOUNT.parse()?,
            name: format!("hanging {number}"),
            channel: ChannelKind::Hostaway,
            base_url: base_url.clone(),
            channel_account: (number + 1).to_string(),
            credential: "file:hostaway-8177".parse()?,
            rate_limit: RateLimit::default(),
            account_rate_limit: None,
        });
        let metadata = Metadata { org_id: "elsewhere".parse()?, ..world.metadata(target_id)? };
        world.commands().target(target_id, create, &metadata).await?;
    }
    let _service = world.serve("relay,projector,dispatcher")?;
    let known = format!("SELECT (count(*) = {HANGING} + 1)::int::bigint FROM channel_targets");
    until(&world, "the read models know them", 30, &known).await?;
    sqlx::query(
        "INSERT INTO dispatch_checks (target_id, due_at)
         SELECT target_id, clock_timestamp() FROM channel_targets WHERE org_id = 'elsewhere'",
    )
    .execute(&world.pool)
    .await?;
    let under_way = "SELECT (count(*) >= 32)::int::bigint FROM dispatch_checks WHERE lease_until > now()";
    until(&world, "checks are under way", 30, under_way).await?;
    let asked = Instant::now();
    let check = check_now(&world.pool, target, &Actor::cli("tester")).await?.expect("a dispatcher makes it");
    assert_eq!(check.class, "accepted");
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    world.close().await
}
