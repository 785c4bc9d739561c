//! The dashboard's pages keep to the same table of permissions as the API, and hide the same things.

use std::time::Duration;

use domain::access::AccessRole;
use domain::window::RateLimit;
use end_to_end::api::{Answer, Api};
use end_to_end::unit::unit;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use services::api::policy::{PAGES, Route, Rule};

/// Ids, all of them `ORG`'s and `ACCOUNT`'s, or of nobody.
struct Things {
    target: String,
    listing: String,
    sync: String,
}

impl Things {
    fn of_nobody() -> Self {
        let id = || uuid::Uuid::now_v7().to_string();
        Self { target: id(), listing: id(), sync: id() }
    }

    fn path(&self, route: &Route) -> String {
        let path = route.path.replace("{target_id}", &self.target).replace("{listing_id}", &self.listing);
        path.replace("{sync_id}", &self.sync).replace("{sequence}", "1").replace("{number}", "1")
    }
}

async fn ask(api: &Api, route: &Route, things: &Things) -> anyhow::Result<Answer> {
    let form = match route.path.rsplit('/').next() {
        Some("credential") => "secret=secret-8123",
        Some("replay" | "retry") if route.path.contains("listing_id") => "reason=the+matrix+asks&position=1",
        _ => "reason=the+matrix+asks",
    };
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "text/html")];
    let method: Method = route.method.parse()?;
    let body = if route.method == "POST" { form.to_owned() } else { String::new() };
    api.send_text(method, &things.path(route), &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_kept_from_every_role_that_may_not_and_from_everybody_elsewhere() -> anyhow::Result<()> {
    let world = World::new(&[8123]).await?;
    let target = world.target(8123, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with("", &["--api-rate", "10000"])?;
    let anybody = Api::of(&service).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.drained(Duration::from_secs(30)).await?;
    let sync: uuid::Uuid = sqlx::query_scalar("SELECT sync_id FROM outbound_audit").fetch_one(&world.pool).await?;
    let things = Things { target: target.to_string(), listing: listing.to_string(), sync: sync.to_string() };
    let nothing = Things::of_nobody();
    for route in PAGES {
        let answer = ask(&anybody, route, &things).await?;
        let wanted = if route.method == "GET" { 303 } else { 401 };
        assert_eq!(answer.status.as_u16(), wanted, "{route:?} without a credential");
        assert!(wanted != 303 || answer.header("location").starts_with("/sign-in?return_to="), "{answer:?}");
    }
    for role in AccessRole::ALL {
        let own = anybody.as_caller(&world, ORG, None, role.as_str())?;
        let elsewhere = [
            anybody.as_caller(&world, "elsewhere", None, role.as_str())?,
            anybody.as_caller(&world, ORG, Some("another"), role.as_str())?,
        ];
        for route in PAGES {
            let may = match route.rule {
                Rule::Needs(permission) => permission.roles().contains(&role),
                Rule::Public | Rule::SignedIn => true,
            };
            let answer = ask(&own, route, &things).await?;
            let status = answer.status.as_u16();
            let case = format!("{role} {} {}: {}", route.method, route.path, answer.text);
            if may {
                assert!(![401, 403].contains(&status) && status < 500, "{case}");
            } else {
                assert_eq!(status, 403, "{case}");
                assert!(answer.header("content-type").starts_with("text/html"), "{case}");
            }
            for caller in &elsewhere {
                let answer = ask(caller, route, &things).await?;
                let case = format!("elsewhere {role} {} {}: {}", route.method, route.path, answer.text);
                if !may {
                    assert_eq!(answer.status.as_u16(), 403, "{case}");
                } else if route.path.contains('{') {
                    let absent = ask(caller, route, &nothing).await?;
                    assert_eq!((answer.status.as_u16(), &answer.text), (404, &absent.text), "{case}");
                } else {
                    for secret in [things.target.as_str(), &things.listing, &things.sync] {
                        assert!(!answer.text.contains(secret), "{case}");
                    }
                }
            }
        }
    }
    // Live, what belongs to others is not there, and what one may not see is refused.
    let foreign = anybody.as_caller(&world, ORG, Some("another"), "owner")?;
    for topic in [format!("target:{target}"), format!("listing:{listing}"), format!("sync:{sync}")] {
        foreign.get(&format!("/live?topic={topic}")).await?.expect(404)?;
    }
    let analyst = anybody.as_caller(&world, ORG, Some(ACCOUNT), "analyst")?;
    analyst.get("/live?topic=overview").await?.expect(403)?;
    drop(service);
    world.close().await
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The cookie of an Owner who has signed in.
async fn owner_session(world: &World, api: &Api) -> anyhow::Result<String> {
    let (_, printed, _) = world.run(&["sign-in", "--org", ORG, "--role", "owner", "--url", api.base()])?;
    let code = printed.trim().split_once("code=").map(|(_, code)| code.to_owned()).unwrap_or_default();
    let redeemed = api.send_text(Method::POST, "/sign-in", &[FORM], format!("code={code}")).await?.expect(303)?;
    Ok(redeemed.header("set-cookie").split(';').next().unwrap_or_default().to_owned())
}

/// What a stream brings until it brings these words, or else until it ends.
async fn told(stream: &mut reqwest::Response, words: &str) -> anyhow::Result<String> {
    let mut seen = String::new();
    let reading = async {
        while !seen.contains(words) {
            let Some(chunk) = stream.chunk().await? else { break };
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await??;
    Ok(seen)
}

/// The buttons follow what is done elsewhere; and whoever signed out sees nothing new.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_brings_its_buttons_and_ends_with_its_session() -> anyhow::Result<()> {
    let world = World::new(&[8125]).await?;
    let target = world.target(8125, RateLimit::new(100, 1_000)?).await?.to_string();
    let service = world.serve("")?;
    let api = Api::of(&service).await?;
    let cookie = owner_session(&world, &api).await?;
    let url = format!("{}/live?topic=target:{target}", api.base());
    let mut stream = reqwest::Client::new().get(url).header("cookie", &cookie).send().await?.error_for_status()?;
    assert!(told(&mut stream, "do-pause").await?.contains("actions"));
    world.run(&["target", "pause", &target, "--reason", "works on the roof"])?;
    assert!(told(&mut stream, "do-resume").await?.contains("do-resume"));

    let session = [FORM, ("cookie", cookie.as_str())];
    let me = api.send(Method::GET, "/api/channels/me", &session, None).await?.expect(200)?.json();
    let token = format!("csrf_token={}", me["csrf_token"].as_str().unwrap_or_default());
    api.send_text(Method::POST, "/sign-out", &session, token).await?.expect(200)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.run(&["target", "resume", &target])?;
    let after = told(&mut stream, "do-pause").await?;
    assert!(!after.contains("do-pause"), "{after}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_the_token_of_its_session_changes_nothing() -> anyhow::Result<()> {
    let world = World::new(&[8124]).await?;
    let target = world.target(8124, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let cookie = owner_session(&world, &api).await?;
    let session = [FORM, ("cookie", cookie.as_str())];
    let path = format!("/targets/{target}/pause");
    api.send_text(Method::POST, &path, &session, "reason=x".to_owned()).await?.expect(403)?;
    api.send_text(Method::POST, &path, &session, "reason=x&csrf_token=wrong".to_owned()).await?.expect(403)?;
    let me = api.send(Method::GET, "/api/channels/me", &session, None).await?.expect(200)?.json();
    let token = me["csrf_token"].as_str().unwrap_or_default();
    api.send_text(Method::POST, &path, &session, format!("reason=x&csrf_token={token}")).await?.expect(303)?;
    let paused = world.count("SELECT count(*) FROM events WHERE event_type = 'TargetPaused'").await?;
    assert_eq!(paused, 1);
    drop(service);
    world.close().await
}
