//! How an account at a channel stands is told to whom the channel takes there. Anybody can name one, with a secret that is made up.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use domain::access::{AccessRole, Accounts, Caller, CredentialKind};
use domain::target::{Health, TargetCommand};
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use serde_json::{Value, json};
use services::api::reader::Reader;

const ELSEWHERE: &str = "elsewhere";

/// A target of this caller's at an account of the sandbox.
async fn make(world: &World, caller: &Api, account: u64, secret: &str, limit: &str) -> anyhow::Result<String> {
    let wanted = json!({
        "account_id": ACCOUNT, "name": "Hostaway", "base_url": format!("{}/v1", world.sandbox.url),
        "channel_account": account.to_string(), "secret": secret, "rate_limit": "100/1s", "account_rate_limit": limit,
    });
    let made = caller.post("/api/channels/targets", &wanted).await?.expect(201)?.json();
    Ok(made["target_id"].as_str().unwrap_or_default().to_owned())
}

/// How many windows of accounts, slots of those and windows of targets Postgres shows a reader of an organisation.
async fn shown(world: &World, org: &str) -> anyhow::Result<(i64, i64, i64)> {
    let caller = Caller {
        subject: "tester".to_owned(),
        org_id: org.parse()?,
        accounts: Accounts::All,
        roles: BTreeSet::from([AccessRole::Owner]),
        credential: CredentialKind::LocalToken,
        credential_id: "1".to_owned(),
    };
    let mut reader = Reader::open(&world.pool, &caller).await?;
    let counts = "SELECT (SELECT count(*) FROM rate_scopes WHERE scope LIKE 'account:%'),
        (SELECT count(*) FROM rate_slots WHERE scope LIKE 'account:%'),
        (SELECT count(*) FROM rate_scopes WHERE scope LIKE 'target:%')";
    Ok(sqlx::query_as(counts).fetch_one(&mut *reader).await?)
}

/// Whether Postgres shows the account, once it does as it is to.
async fn until_shown(world: &World, org: &str, is_shown: bool) -> anyhow::Result<()> {
    wait_until(&format!("the account is shown to {org}: {is_shown}"), Duration::from_secs(30), || async {
        let (windows, slots, _) = shown(world, org).await?;
        let done = (windows > 0, slots > 0) == (is_shown, is_shown);
        Ok(if done { Ok(()) } else { Err(format!("{windows} windows, {slots} slots")) })
    })
    .await
}

async fn until_one_is(world: &World, health: &str) -> anyhow::Result<()> {
    wait_until(&format!("a target is {health}"), Duration::from_secs(30), || async {
        let count = world.count(&format!("SELECT count(*) FROM channel_targets WHERE health = '{health}'")).await?;
        Ok(if count == 1 { Ok(()) } else { Err(format!("{count} are")) })
    })
    .await
}

/// What an explanation of a listing tells of the window of its account.
async fn explained(caller: &Api, listing: &str) -> anyhow::Result<(Value, Value)> {
    let explained = caller.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?.json();
    let windows = explained["waiting"]["windows"].as_array().cloned().unwrap_or_default();
    let account = windows.into_iter().find(|window| window["scope"] == "account");
    Ok((account.with_context(|| format!("nothing of the account: {explained:#}"))?, explained))
}

/// Nothing of how the account stands, and what the target itself asks for.
fn is_withheld(window: &Value, requests: &Value) {
    assert_eq!(&window["requests"], requests, "{window}");
    for field in ["in_use", "next_free_at", "paused_until"] {
        assert!(window[field].is_null(), "{window}");
    }
    assert!(window["withheld"].is_string(), "{window}");
}

/// A wrong secret opened the limit of whoever has the account, and how much of it they used.
#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_secret_opens_nothing_of_an_account_that_others_use() -> anyhow::Result<()> {
    let world = World::new(&[8290]).await?;
    let service = world.serve("")?;
    let nobody = Api::of(&service).await?;
    let own = nobody.as_caller(&world, ORG, None, "owner")?;
    let foreign = nobody.as_caller(&world, ELSEWHERE, None, "owner")?;
    let target = make(&world, &own, 8290, "secret-8290", "30/10s").await?;
    own.post(&format!("/api/channels/targets/{target}/check"), &json!({})).await?.expect(200)?;
    until_one_is(&world, "healthy").await?;
    until_shown(&world, ORG, true).await?;

    let guess = make(&world, &foreign, 8290, "guess", "7/10s").await?;
    let mut theirs = unit("villa-900", 1);
    theirs["org_id"] = json!(ELSEWHERE);
    world.publish(&[theirs]).await?;
    world.taken(1, 1).await?;
    let link = json!({ "target_id": guess, "unit_id": "villa-900" });
    let linked = foreign.post("/api/channels/listings", &link).await?.expect(201)?.json();
    let listing = linked["listing_id"].as_str().unwrap_or_default();
    until_one_is(&world, "unauthorised").await?;
    let busy = "UPDATE rate_slots SET free_at = CASE WHEN slot <= 9 THEN now() + interval '1 hour' ELSE now() END
        WHERE scope LIKE 'account:%'";
    let paused = "UPDATE rate_scopes SET paused_until = now() + interval '1 hour' WHERE scope LIKE 'account:%'";
    for statement in [paused, busy] {
        sqlx::query(statement).execute(&world.pool).await?;
    }
    let (window, _) = explained(&foreign, listing).await?;
    is_withheld(&window, &json!(7));
    let page = foreign.get(&format!("/targets/{guess}")).await?.expect(200)?.text;
    assert!(page.contains("This target asks for 7 requests in any"), "{page}");
    assert!(page.contains("How much of it is in use is not shown until"), "{page}");
    assert!(!page.contains(" of 30") && !page.contains("Paused by the channel"), "{page}");
    let (windows, slots, of_targets) = shown(&world, ELSEWHERE).await?;
    assert!((windows, slots) == (0, 0) && of_targets == 1, "{windows}, {slots}, {of_targets}");
    let page = own.get(&format!("/targets/{target}")).await?.expect(200)?.text;
    assert!(page.contains("9 of 30</strong>") && page.contains("Paused by the channel until"), "{page}");

    // Of a new secret the channel has said nothing yet.
    sqlx::query("UPDATE rate_scopes SET paused_until = '-infinity'").execute(&world.pool).await?;
    let credential = format!("/api/channels/targets/{target}/credential");
    own.post(&credential, &json!({ "secret": "mistyped" })).await?.expect(200)?;
    until_shown(&world, ORG, false).await?;
    let page = own.get(&format!("/targets/{target}")).await?.expect(200)?.text;
    assert!(page.contains("This target asks for 30 requests in any") && !page.contains("9 of 30"), "{page}");
    own.post(&credential, &json!({ "secret": "secret-8290" })).await?.expect(200)?;
    wait_until("the account is shown again", Duration::from_secs(30), || async {
        own.post(&format!("/api/channels/targets/{target}/check"), &json!({})).await?.expect(200)?;
        let (windows, ..) = shown(&world, ORG).await?;
        Ok(if windows == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;
    until_shown(&world, ELSEWHERE, false).await?;
    drop(service);
    world.close().await
}

/// Nor does anything tell that the channel has paused it, before the credentials were taken and while the target is paused, as nobody asks
/// the channel then. Who runs the service sees it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_an_account_is_told_to_whom_the_channel_takes_there() -> anyhow::Result<()> {
    let world = World::new(&[8291]).await?;
    let target = world.target(8291, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("intake,relay,projector,api")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &names(1)).await?[0].to_string();
    world.waits(1).await?;
    sqlx::query(
        "INSERT INTO rate_scopes (scope, requests, window_ms, rest_ms, paused_until)
         SELECT 'account:' || channel || '/' || base_url || '/' || channel_account, 5, 10000, 10050,
            now() + interval '1 hour' FROM channel_targets",
    )
    .execute(&world.pool)
    .await?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let command = async |command: TargetCommand| {
        world.commands().target(target, command, &world.metadata(target)?).await.context("it is taken")
    };
    for is_taken in [false, true] {
        if is_taken {
            let reason = "it answers".to_owned();
            command(TargetCommand::ReportHealth { health: Health::Healthy, reason, credential_epoch: 0 }).await?;
            until_one_is(&world, "healthy").await?;
        }
        let status = if is_taken { "paused by the channel" } else { "due" };
        let queue = viewer.get("/api/channels/queue").await?.expect(200)?.json();
        assert_eq!(queue["items"][0]["status"], status, "{queue}");
        let (window, explained) = explained(&viewer, &listing).await?;
        assert_eq!(explained["waiting"]["status"], status, "{explained:#}");
        let untold = explained["next"]["because"].to_string().contains("is not told until");
        assert_eq!(untold, !is_taken, "{explained:#}");
        if is_taken {
            assert_eq!((&window["requests"], &window["withheld"]), (&json!(5), &Value::Null), "{window}");
        } else {
            is_withheld(&window, &Value::Null);
        }
        let preview = viewer.get(&format!("/api/channels/listings/{listing}/preview")).await?.expect(200)?.json();
        assert_eq!(preview["held"].to_string().contains("the channel has the account paused"), is_taken, "{preview:#}");
        let overview = viewer.get("/").await?.expect(200)?.text;
        assert_eq!(overview.contains("\">paused by the channel</span>: 1 target"), is_taken, "{overview}");
        let (_, printed, _) = world.run(&["queue"])?;
        assert!(printed.contains("paused by the channel"), "{printed}");
    }
    command(TargetCommand::Pause { reason: "the season is over".to_owned() }).await?;
    wait_until("the account is hidden", Duration::from_secs(30), || async {
        let (windows, ..) = shown(&world, ORG).await?;
        Ok(if windows == 0 { Ok(()) } else { Err("it is shown".to_owned()) })
    })
    .await?;
    let page = viewer.get(&format!("/targets/{target}")).await?.expect(200)?.text;
    assert!(!page.contains("Paused by the channel"), "{page}");
    drop(service);
    world.close().await
}

/// A channel may refuse a secret in a way that nobody knows for that. A sync that was given no token shows nothing of the credentials.
#[tokio::test(flavor = "multi_thread")]
async fn whom_the_channel_gave_no_token_does_not_count_as_taken() -> anyhow::Result<()> {
    let world = World::new(&[8292]).await?;
    let target = world.target(8292, RateLimit::new(100, 1_000)?).await?;
    world.sandbox.fault(json!({ "kind": "status", "code": 422, "path_prefix": "/v1/accessTokens" })).await?;
    // Without the role health, which would have it checked.
    let service = world.serve("intake,relay,projector,dispatcher")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.link(target, &names(1)).await?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'rejected'").await?, 1);
    assert_eq!(world.count("SELECT count(*) FROM events WHERE event_type = 'HealthChanged'").await?, 0);
    assert_eq!(shown(&world, ORG).await?.0, 0);
    drop(service);
    world.close().await
}
