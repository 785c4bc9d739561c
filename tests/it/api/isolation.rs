//! Every route, every role, own organisation, foreign organisation, own organisation but foreign account.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::access::{AccessRole, Accounts, Caller, CredentialKind};
use domain::metadata::Actor;
use domain::window::RateLimit;
use end_to_end::api::{Answer, Api};
use end_to_end::unit::unit;
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::{Value, json};
use services::api::policy::{ROUTES, Route, Rule};
use services::api::reader::Reader;

/// Whose token asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Own,
    ForeignOrg,
    ForeignAccount,
}

/// What the matrix asks about: all of it is `ORG`'s and `ACCOUNT`'s.
struct Things {
    target: String,
    listing: String,
    sync: String,
    letter: String,
}

fn path(route: &Route, things: &Things) -> String {
    route
        .path
        .replace("{target_id}", &things.target)
        .replace("{listing_id}", &things.listing)
        .replace("{sync_id}", &things.sync)
        .replace("{number}", &things.letter)
}

/// A body that the route takes, and that changes nothing of what the next requests need.
fn body(route: &Route, things: &Things) -> Option<Value> {
    let reason = json!({ "reason": "the matrix asks" });
    match (route.method, route.path) {
        ("POST", "/api/channels/targets") => Some(json!({ "account_id": ACCOUNT, "name": "m",
            "base_url": "https://api.hostaway.com/v1", "channel_account": "1", "secret": "a-secret" })),
        ("PATCH", _) => Some(json!({ "rate_limit": "100/1s" })),
        ("POST", "/api/channels/listings") => Some(json!({ "target_id": things.target, "unit_id": "villa-000" })),
        ("POST", path) if path.ends_with("/credential") => Some(json!({ "secret": "secret-8120" })),
        ("POST", path) if ["/resume", "/replay", "/check", "/drift"].iter().any(|end| path.ends_with(end)) => None,
        ("POST", _) | ("DELETE", "/api/channels/listings/{listing_id}" | "/api/channels/targets/{target_id}") => {
            Some(reason)
        }
        _ => None,
    }
}

async fn ask(api: &Api, route: &Route, things: &Things) -> anyhow::Result<Answer> {
    let method: Method = route.method.parse()?;
    api.send(method, &path(route, things), &[], body(route, things).as_ref()).await
}

/// Lists show what is one's own: they are never refused to a reader, and show nothing of others.
fn is_list(route: &Route) -> bool {
    route.method == "GET" && !route.path.contains('{')
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_kept_from_every_role_that_may_not_and_from_everybody_elsewhere() -> anyhow::Result<()> {
    let world = World::new(&[8120]).await?;
    let target = world.target(8120, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with("", &["--api-rate", "10000"])?;
    let anybody = Api::of(&service).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.drained(Duration::from_secs(30)).await?;
    let sync: uuid::Uuid = sqlx::query_scalar("SELECT sync_id FROM outbound_audit").fetch_one(&world.pool).await?;
    let things = Things {
        target: target.to_string(),
        listing: listing.to_string(),
        sync: sync.to_string(),
        letter: "1".to_owned(),
    };
    let broken = world.nats.prefix.unit_changed(&ORG.parse()?, &"broken".parse()?);
    world.publish_raw(broken, b"{}".to_vec()).await?;
    wait_until("the broken message is a dead letter", Duration::from_secs(20), || async {
        let letters = world.nats.dead_letter_count().await?;
        Ok(if letters == 1 { Ok(()) } else { Err(format!("{letters} letters")) })
    })
    .await?;
    let nothing = Things {
        target: uuid::Uuid::now_v7().to_string(),
        listing: uuid::Uuid::now_v7().to_string(),
        sync: uuid::Uuid::now_v7().to_string(),
        letter: "999".to_owned(),
    };
    let (mut cases, mut refused) = (0, 0);
    // Deletions last: whoever may make them takes away what others are asked about.
    let mut routes: Vec<&Route> = ROUTES.iter().filter(|route| route.rule != Rule::Public).collect();
    routes.sort_by_key(|route| route.method == "DELETE");
    for route in &routes {
        assert_eq!(ask(&anybody, route, &things).await?.status.as_u16(), 401, "{route:?} without a credential");
        let forged = anybody.with_token("eyJhbGciOiJub25lIn0.e30.");
        assert_eq!(ask(&forged, route, &things).await?.status.as_u16(), 401, "{route:?} with a forged token");
    }
    for from in [From::ForeignOrg, From::ForeignAccount, From::Own] {
        for role in AccessRole::ALL.into_iter().rev() {
            let caller = match from {
                From::Own => anybody.as_caller(&world, ORG, None, role.as_str())?,
                From::ForeignOrg => anybody.as_caller(&world, "elsewhere", None, role.as_str())?,
                From::ForeignAccount => anybody.as_caller(&world, ORG, Some("another"), role.as_str())?,
            };
            for route in &routes {
                let answer = ask(&caller, route, &things).await?;
                cases += 1;
                let allowed = match route.rule {
                    Rule::Needs(permission) => permission.roles().contains(&role),
                    Rule::Public | Rule::SignedIn => true,
                };
                let status = answer.status.as_u16();
                let case = format!("{from:?} {role} {} {}: {}", route.method, route.path, answer.text);
                let links = (route.method, route.path) == ("POST", "/api/channels/listings");
                if links && allowed && from != From::Own {
                    refused += 1;
                    assert_eq!(status, 404, "{case}");
                } else if !allowed {
                    refused += 1;
                    assert_eq!(status, 403, "{case}");
                } else if from == From::Own {
                    assert!(![401, 403].contains(&status) && status < 500, "{case}");
                } else if route.path.contains('{') {
                    refused += 1;
                    let absent = ask(&caller, route, &nothing).await?;
                    assert_eq!((status, &answer.text), (404, &absent.text), "{case}");
                } else if is_list(route) && route.path != "/api/channels/me" {
                    for secret in [things.target.as_str(), &things.listing, &things.sync, ACCOUNT, "broken"] {
                        assert!(!answer.text.contains(secret), "{case}");
                    }
                }
            }
        }
    }
    eprintln!("isolation: {cases} cases, {refused} of them to be refused, all of these were");
    drop(service);
    world.close().await
}

/// Somebody puts a value in the place of the target's secret.
fn put_a_secret(world: &World, target: &str) -> anyhow::Result<()> {
    let file = world.path("value").display().to_string();
    std::fs::write(&file, "of this target")?;
    for arguments in [
        &["target", "rotate-credential", target, "--secret-ref", "store:mine"][..],
        &["secret", "put", "mine", "--from-file", &file],
    ] {
        let (code, _, said) = world.run(arguments)?;
        assert_eq!(code, 0, "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_hides_what_a_handler_forgets_to_filter() -> anyhow::Result<()> {
    let world = World::new(&[8121]).await?;
    let target = world.target(8121, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listings = world.link(target, &["villa-000".to_owned()]).await?;
    world.drained(Duration::from_secs(30)).await?;
    let publisher = Api::of(&service).await?.as_caller(&world, ORG, None, "channel-publisher")?;
    let drift = format!("/api/channels/listings/{}/drift", listings[0]);
    publisher.send(Method::POST, &drift, &[], None).await?.expect(200)?;
    assert!(services::views::health::check_now(&world.pool, target, &Actor::cli("tester")).await?.is_some());
    put_a_secret(&world, &target.to_string())?;
    let caller = |org: &str, accounts: Accounts| {
        anyhow::Ok(Caller {
            subject: "tester".to_owned(),
            org_id: org.parse()?,
            accounts,
            roles: BTreeSet::from([AccessRole::Owner]),
            credential: CredentialKind::LocalToken,
            credential_id: "1".to_owned(),
        })
    };
    let only = |account: &str| anyhow::Ok(Accounts::Only(BTreeSet::from([account.parse()?])));
    let tables = [
        "events",
        "units",
        "unit_snapshots",
        "channel_targets",
        "channel_listings",
        "outbound_audit",
        "outbound_attempts",
        "target_health",
        "sync_activity",
        "health_checks",
        "drift_calls",
        "secret_changes",
    ];
    for table in tables {
        // No filter at all, as a handler might forget it.
        let all = format!("SELECT count(*) FROM {table}");
        let count = async |caller: Caller| {
            let mut reader = Reader::open(&world.pool, &caller).await?;
            anyhow::Ok(sqlx::query_scalar::<_, i64>(&all).fetch_one(&mut *reader).await?)
        };
        assert!(count(caller(ORG, Accounts::All)?).await? > 0, "{table}");
        assert!(count(caller(ORG, only(ACCOUNT)?)?).await? > 0, "{table}");
        assert_eq!(count(caller(ORG, only("another")?)?).await?, 0, "{table}");
        assert_eq!(count(caller("elsewhere", Accounts::All)?).await?, 0, "{table}");
        let mut reader = Reader::open(&world.pool, &caller(ORG, Accounts::All)?).await?;
        let write = sqlx::query(&format!("DELETE FROM {table}")).execute(&mut *reader).await;
        assert!(write.is_err(), "a reader changes {table}");
    }
    // Whatever a reader may read, whichever migration made it: the checkpoints alone are everybody's.
    let readable: Vec<(String, bool)> = sqlx::query_as(
        "SELECT relname::text, relrowsecurity FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
            AND has_any_column_privilege('distribution_reader', oid, 'SELECT')",
    )
    .fetch_all(&world.pool)
    .await?;
    assert!(readable.len() > tables.len(), "{readable:?}");
    for (table, walled) in &readable {
        assert_eq!(*walled, table != "projection_checkpoints", "{table}");
        if *walled {
            let mut reader = Reader::open(&world.pool, &caller("elsewhere", Accounts::All)?).await?;
            let seen: i64 =
                sqlx::query_scalar(&format!("SELECT count(*) FROM {table}")).fetch_one(&mut *reader).await?;
            assert_eq!(seen, 0, "{table}");
        }
    }
    let mut reader = Reader::open(&world.pool, &caller(ORG, Accounts::All)?).await?;
    let sessions = sqlx::query("SELECT * FROM sessions").fetch_all(&mut *reader).await;
    assert!(sessions.is_err(), "a reader sees sessions");
    drop((reader, service));
    world.close().await
}

/// What a handler has found to be the caller's is told from rows that Postgres shows the caller: of a listing with rows of another
/// account among its own, whoever sees this account alone is told nothing of those.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_listing_is_read_behind_the_wall() -> anyhow::Result<()> {
    let world = World::new(&[8123]).await?;
    let target = world.target(8123, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.drained(Duration::from_secs(30)).await?;
    let anybody = Api::of(&service).await?;
    let all = anybody.as_caller(&world, ORG, None, "channel-publisher")?;
    let mine = anybody.as_caller(&world, ORG, Some(ACCOUNT), "channel-publisher")?;
    let path = |of: &str| format!("/api/channels/listings/{listing}/{of}");
    all.post(&path("pause"), &json!({ "reason": "works on the roof" })).await?.expect(200)?;
    let position = world.count("SELECT max(position) FROM events WHERE event_type = 'SyncRequested'").await?;
    let told = async |caller: &Api| {
        let preview = caller.get(&path("preview")).await?.expect(200)?.json();
        let explained = caller.get(&path("explain")).await?.expect(200)?.json();
        let past = caller.get(&path(&format!("preview?position={position}"))).await?;
        let roof = |value: &Value| value.to_string().contains("works on the roof");
        anyhow::Ok((roof(&preview["held"]), roof(&explained["next"]), past.status.as_u16()))
    };
    assert_eq!(told(&mine).await?, (true, true, 200));
    let moved = "UPDATE events SET account_id = 'another' WHERE event_type IN ('ListingPaused', 'SyncRequested')";
    sqlx::query(moved).execute(&world.pool).await?;
    assert_eq!(told(&all).await?, (true, true, 200));
    assert_eq!(told(&mine).await?, (false, false, 400));
    drop(service);
    world.close().await
}

/// What this build cannot read, or takes long to read, would tell that it is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_others_is_not_even_loaded() -> anyhow::Result<()> {
    let world = World::new(&[8177]).await?;
    let target = world.target(8177, RateLimit::new(100, 1_000)?).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.make_unreadable(listing).await?;
    let service = world.serve("api")?;
    let anybody = Api::of(&service).await?;
    let path = |listing: &str| format!("/api/channels/listings/{listing}/pause");
    let (path, nowhere) = (path(&listing.to_string()), path(&uuid::Uuid::now_v7().to_string()));
    let reason = json!({ "reason": "is it there?" });
    anybody.as_caller(&world, ORG, None, "owner")?.post(&path, &reason).await?.expect(500)?;
    for (org, account) in [("elsewhere", None), (ORG, Some("another"))] {
        let other = anybody.as_caller(&world, org, account, "owner")?;
        let foreign = other.post(&path, &reason).await?.expect(404)?;
        assert_eq!(foreign.text, other.post(&nowhere, &reason).await?.expect(404)?.text);
    }
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_of_an_account_that_the_caller_does_not_have_is_not_linked() -> anyhow::Result<()> {
    let world = World::new(&[8122]).await?;
    let target = world.target(8122, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("api,intake")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, Some(ACCOUNT), "channel-publisher")?;
    let mut foreign = unit("villa-001", 1);
    foreign["account_id"] = json!("another");
    world.publish(&[unit("villa-000", 1), foreign]).await?;
    world.taken(2, 1).await?;
    let link = |unit: &str| json!({ "target_id": target, "unit_id": unit });
    let foreign = api.post("/api/channels/listings", &link("villa-001")).await?.expect(400)?;
    let absent = api.post("/api/channels/listings", &link("villa-999")).await?.expect(400)?;
    assert_eq!(foreign.text, absent.text);
    api.post("/api/channels/listings", &link("villa-000")).await?.expect(201)?;
    drop(service);
    world.close().await
}
