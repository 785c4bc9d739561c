//! The dashboard's pages keep to the same table of permissions as the API, and hide the same things.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use domain::access::AccessRole;
use domain::window::RateLimit;
use end_to_end::api::{Answer, Api};
use end_to_end::nats_server::NatsServer;
use end_to_end::unit::{described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, Beginning, ORG, World};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
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

/// The answer to whoever signs in by a link.
async fn signed_in(world: &World, api: &Api, role: &str) -> anyhow::Result<Answer> {
    let (_, printed, _) = world.run(&["sign-in", "--org", ORG, "--role", role, "--url", api.base()])?;
    let code = printed.trim().split_once("code=").map(|(_, code)| code.to_owned()).unwrap_or_default();
    api.send_text(Method::POST, "/sign-in", &[FORM], format!("code={code}")).await?.expect(303)
}

/// The cookie of an Owner who has signed in.
async fn owner_session(world: &World, api: &Api) -> anyhow::Result<String> {
    let redeemed = signed_in(world, api, "owner").await?;
    Ok(redeemed.header("set-cookie").split(';').next().unwrap_or_default().to_owned())
}

/// What a stream brings until it brings these words, or else until it ends.
pub(super) async fn told(stream: &mut reqwest::Response, words: &str) -> anyhow::Result<String> {
    let mut seen = String::new();
    let reading = async {
        while !seen.contains(words) {
            let Some(chunk) = stream.chunk().await? else { break };
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
        anyhow::Ok(())
    };
    let told = tokio::time::timeout(Duration::from_secs(60), reading).await;
    told.with_context(|| format!("{words:?} does not come"))??;
    Ok(seen)
}

/// What a stream says at the end of its session.
const SIGNED_OUT: &str = "event: signed-out";

/// The buttons follow what is done elsewhere; and whoever signed out is told so, and sees nothing new.
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
    api.send_text(Method::POST, "/sign-out", &session, token.clone()).await?.expect(200)?;
    // Though nothing happens: the page says so at once.
    let out = Instant::now();
    let last = told(&mut stream, SIGNED_OUT).await?;
    assert!(last.contains(SIGNED_OUT) && out.elapsed() < Duration::from_secs(2), "{last} after {:?}", out.elapsed());
    world.run(&["target", "resume", &target])?;
    let after = told(&mut stream, "do-pause").await?;
    assert!(!after.contains("do-pause"), "{after}");
    let form = [session.as_slice(), &[("accept", "text/html")]].concat();
    let pause = format!("/targets/{target}/pause");
    let refused = api.send_text(Method::POST, &pause, &form, token).await?.expect(401)?.text;
    assert!(refused.contains("Your session has ended") && refused.contains(">Sign in</a>"), "{refused}");

    // The same where somebody else ends it.
    let cookie = owner_session(&world, &api).await?;
    let url = format!("{}/live?topic=target:{target}", api.base());
    let mut stream = reqwest::Client::new().get(url).header("cookie", &cookie).send().await?.error_for_status()?;
    assert!(told(&mut stream, "do-pause").await?.contains("do-pause"));
    sqlx::query("DELETE FROM sessions").execute(&world.pool).await?;
    let out = Instant::now();
    let last = told(&mut stream, SIGNED_OUT).await?;
    assert!(last.contains(SIGNED_OUT) && out.elapsed() < Duration::from_secs(8), "{last} after {:?}", out.elapsed());
    drop(service);
    world.close().await
}

/// While the service cannot read what is new, "live" would be a lie.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_is_told_since_when_it_stands_still_and_when_it_goes_on() -> anyhow::Result<()> {
    let world = World::new(&[8126]).await?;
    let target = world.target(8126, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let cookie = owner_session(&world, &api).await?;
    let url = format!("{}/live?topic=target:{target}", api.base());
    let mut stream = reqwest::Client::new().get(url).header("cookie", &cookie).send().await?.error_for_status()?;
    assert!(told(&mut stream, "do-pause").await?.contains("event: part"));
    let began = Utc::now();
    sqlx::query("ALTER TABLE projection_checkpoints RENAME TO away").execute(&world.pool).await?;
    let seen = told(&mut stream, "event: stale").await?;
    let since = seen.split("event: stale\ndata: ").nth(1).and_then(|rest| rest.lines().next()).context("it is told")?;
    let since: DateTime<Utc> = since.parse()?;
    assert!((began - chrono::TimeDelta::seconds(6)..=Utc::now()).contains(&since), "{since} after {began}");
    sqlx::query("ALTER TABLE away RENAME TO projection_checkpoints").execute(&world.pool).await?;
    assert!(told(&mut stream, "event: current").await?.contains("event: current"));
    drop(service);
    world.close().await
}

/// The moment that stands behind these words of a page, as a machine reads it.
fn moment_after(page: &str, words: &str) -> anyhow::Result<DateTime<Utc>> {
    let rest = page.split(words).nth(1).with_context(|| format!("no {words:?} in {page}"))?;
    let at = rest.split("datetime=").nth(1).and_then(|rest| rest.split(['"', '\\']).find(|part| !part.is_empty()));
    Ok(at.with_context(|| format!("no moment after {words:?} in {page}"))?.parse()?)
}

/// No unit change is taken in then and the streams get nothing, and a page on which all is well would say the contrary.
#[tokio::test(flavor = "multi_thread")]
async fn the_overview_says_since_when_nats_is_away_and_no_more_when_it_is_back() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = NatsServer::start(folder.path()).await?;
    let world = World::begin(Beginning { nats_url: Some(nats.url()), ..Beginning::default() }, &[8131]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let cookie = owner_session(&world, &api).await?;
    let url = format!("{}/live?topic=overview", api.base());
    let mut stream = reqwest::Client::new().get(url).header("cookie", &cookie).send().await?.error_for_status()?;
    assert!(!told(&mut stream, "No target needs anybody").await?.contains("NATS is away"));

    nats.process.signal(Signal::STOP)?;
    let stopped = Utc::now();
    let live = told(&mut stream, "nothing is lost.").await?;
    assert!(!live.contains("Each of them answers"), "{live}");
    let viewer = api.as_caller(&world, ORG, None, "viewer")?;
    let page = viewer.get("/").await?.expect(200)?.text;
    let since = moment_after(&page, "NATS is away")?;
    assert!(page.contains("Unit changes are taken in and streams filled when it is back. Syncs go on"), "{page}");
    // Whoever was asked just before it stopped has not answered either.
    assert!((stopped - chrono::TimeDelta::seconds(5)..=Utc::now()).contains(&since), "{since}, stopped {stopped}");
    assert_eq!(moment_after(&live, "NATS is away")?, since);

    nats.process.signal(Signal::CONT)?;
    let live = told(&mut stream, "Each of them answers").await?;
    assert!(live.contains("Each of them answers"), "{live}");
    assert!(!viewer.get("/").await?.expect(200)?.text.contains("NATS is away"));
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_say_how_far_the_read_models_are_behind() -> anyhow::Result<()> {
    let world = World::new(&[8127]).await?;
    let target = world.target(8127, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("api")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let says = async |path: &str| {
        let page = viewer.get(path).await?.expect(200)?.text;
        anyhow::Ok(page.contains("Read models are") && page.contains("behind the journal"))
    };
    let paths = ["/targets".to_owned(), "/listings".to_owned(), format!("/targets/{target}")];
    for path in &paths {
        wait_until("the page says so", Duration::from_secs(20), || async {
            Ok(if says(path.as_str()).await? { Ok(()) } else { Err(path.clone()) })
        })
        .await?;
    }
    // Later than is promised somebody is needed.
    let asks_for_somebody = async || {
        let page = viewer.get("/").await?.expect(200)?.text;
        let of = |words: &str| page.contains(words);
        anyhow::Ok((of("<strong>Read models are behind</strong>"), of("<strong>The relay is behind</strong>"), page))
    };
    sqlx::query("UPDATE events SET recorded_at = recorded_at - interval '1 minute'").execute(&world.pool).await?;
    wait_until("the overview asks for somebody", Duration::from_secs(40), || async {
        let (read_models, relay, page) = asks_for_somebody().await?;
        Ok(if read_models && relay { Ok(()) } else { Err(page) })
    })
    .await?;
    let _projector = world.serve("relay,projector")?;
    for path in &paths {
        wait_until("the page says so no more", Duration::from_secs(30), || async {
            Ok(if says(path.as_str()).await? { Err(path.clone()) } else { Ok(()) })
        })
        .await?;
    }
    wait_until("the overview asks for nobody", Duration::from_secs(40), || async {
        let (read_models, relay, page) = asks_for_somebody().await?;
        Ok(if read_models || relay { Err(page) } else { Ok(()) })
    })
    .await?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_targets_by_their_id_and_a_part_of_their_name_and_nobody_elses() -> anyhow::Result<()> {
    let world = World::new(&[8128, 8129]).await?;
    let target = world.target(8128, RateLimit::new(100, 1_000)?).await?.to_string();
    let other = world.target(8129, RateLimit::new(100, 1_000)?).await?.to_string();
    let service = world.serve("api,relay,projector")?;
    let api = Api::of(&service).await?;
    world.drained(Duration::from_secs(30)).await?;
    let owner = api.as_caller(&world, ORG, None, "owner")?;
    for text in ["8128", "WAY%208128", &target] {
        let found = owner.get(&format!("/search?q={text}")).await?.expect(303)?;
        assert_eq!(found.header("location"), format!("/targets/{target}"), "{text}");
    }
    let both = owner.get("/search?q=hostaway").await?.expect(200)?.text;
    assert!(both.contains(&target) && both.contains(&other), "{both}");
    // What is searched for is no pattern.
    let none = owner.get("/search?q=%25").await?.expect(200)?.text;
    assert!(none.contains("Nothing found") && none.contains("capital and small letters differ"), "{none}");
    // Blanks are no question.
    for blanks in ["/search?q=%20%20", "/search"] {
        let page = owner.get(blanks).await?.expect(200)?.text;
        assert!(page.contains("<h1>Search</h1>") && page.contains("What are you looking for?"), "{page}");
        assert!(!page.contains("Nothing found"), "{page}");
    }
    let elsewhere =
        [api.as_caller(&world, "elsewhere", None, "owner")?, api.as_caller(&world, ORG, Some("another"), "owner")?];
    for foreign in &elsewhere {
        for text in ["8128", &target] {
            let none = foreign.get(&format!("/search?q={text}")).await?.expect(200)?.text;
            assert!(none.contains("Nothing found"), "{none}");
        }
    }
    drop(service);
    world.close().await
}

/// Twenty are all there are, or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_finds_more_than_it_shows_says_so() -> anyhow::Result<()> {
    let world = World::new(&[8132]).await?;
    let target = world.target(8132, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("api,relay,projector")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let more = "These are the first 20, and there are more";
    let units = names(21);
    for (linked, is_more) in [(&units[..20], false), (&units[20..], true)] {
        world.link(target, linked).await?;
        world.drained(Duration::from_secs(30)).await?;
        let page = owner.get("/search?q=villa-").await?.expect(200)?.text;
        assert_eq!((page.matches("villa-0").count(), page.contains(more)), (20, is_more), "{page}");
    }
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_offers_neither_what_the_viewer_may_not_see_nor_what_is_there_already() -> anyhow::Result<()> {
    let world = World::new(&[8133]).await?;
    let target = world.target(8133, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.drained(Duration::from_secs(30)).await?;
    let sync: uuid::Uuid = sqlx::query_scalar("SELECT sync_id FROM outbound_audit").fetch_one(&world.pool).await?;
    let api = Api::of(&service).await?;
    let owner = api.as_caller(&world, ORG, None, "owner")?;
    let analyst = api.as_caller(&world, ORG, None, "analyst")?;
    // Histories are a part of the audit.
    let histories = [format!("/targets/{target}/history"), format!("/listings/{listing}/history")];
    let leads = ["href=\"/\"", "href=\"/listings", "href=\"/targets", "Unit, target"];
    let offered = |page: &str| {
        let page = histories.iter().fold(page.to_owned(), |page, path| page.replace(path.as_str(), "history"));
        leads.map(|lead| page.contains(lead))
    };
    let sync = format!("/syncs/{sync}");
    let (full, bare) = (owner.get(&sync).await?.expect(200)?.text, analyst.get(&sync).await?.expect(200)?.text);
    assert_eq!((offered(&full), offered(&bare)), ([true; 4], [false; 4]), "{bare}");
    let filtered = format!("/audit?target_id={target}&listing_id={listing}");
    let filtered = analyst.get(&filtered).await?.expect(200)?.text;
    for path in &histories {
        assert!(full.contains(path) && bare.contains(path) && filtered.contains(path), "{path}: {bare}");
        let history = analyst.get(path).await?.expect(200)?.text;
        assert!(history.contains("<td>tester (cli)</td>"), "{history}");
        assert!(offered(&history) == [false; 4] && !history.contains(&world.sandbox.url), "{history}");
    }
    // What the channel says nothing about is not the same of each call.
    for said in ["nothing: it gave a token", "nothing: it was read", "nothing: it was taken"] {
        assert!(full.contains(said), "{said}: {full}");
    }
    let none = analyst.get("/search?q=villa-000").await?.expect(200)?.text;
    assert!(none.contains("Nothing found") && none.contains("/audit?unit_id=villa-000"), "{none}");
    assert!(!none.contains("the beginning of a unit") && offered(&none) == [false; 4], "{none}");
    for (role, begins) in [("analyst", "/audit"), ("viewer", "/")] {
        assert_eq!(signed_in(&world, &api, role).await?.header("location"), begins, "{role}");
    }
    let audit = analyst.get("/audit?unit_id=villa-000").await?.expect(200)?.text;
    assert!(audit.contains(&sync) && offered(&audit) == [false; 4], "{audit}");
    // Of a sync its unit leads to the listing, and its target to that.
    let (listing, target) = (format!("href=\"/listings/{listing}\">villa-000"), format!("href=\"/targets/{target}\""));
    for path in ["/", "/audit"] {
        let page = owner.get(path).await?.expect(200)?.text;
        assert!(page.contains(&listing) && page.contains(&target) && page.contains(&sync), "{path}: {page}");
    }

    // What is not kept up to date says of when it is.
    for (path, is_live) in [("/", true), ("/targets", false), ("/listings", false), ("/audit", false)] {
        let page = owner.get(path).await?.expect(200)?.text;
        let says = page.contains("as of <time class=\"clock\"") && page.contains("<a href=\"\">reload</a>");
        assert_eq!((says, page.contains("id=\"live\"")), (!is_live, is_live), "{path}: {page}");
    }
    // A filter that leaves nothing does not say that there is nothing.
    for (path, told) in [
        ("/targets?health=unreachable", "No target is like that"),
        ("/listings?outcome=failed", "No listing is like that"),
    ] {
        let page = owner.get(path).await?.expect(200)?.text;
        assert!(page.contains(told) && !page.contains("POST /api/channels"), "{page}");
    }
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_whose_last_sync_failed_are_found() -> anyhow::Result<()> {
    let world = World::new(&[8130]).await?;
    let target = world.target(8130, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let units = ["villa-000".to_owned(), "villa-001".to_owned()];
    world.publish(&units.each_ref().map(|name| unit(name, 1))).await?;
    world.taken(2, 1).await?;
    let listings = world.link(target, &units).await?;
    world.drained(Duration::from_secs(30)).await?;
    world.sandbox.fault(json!({ "kind": "status", "code": 422, "account": 8130, "method": "PUT" })).await?;
    world.publish(&[described("villa-001", 2, "This is refused.")]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(30)).await?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, Some(ACCOUNT), "viewer")?;
    for (outcome, wanted) in [
        ("failed", &listings[1..]),
        ("rejected", &listings[1..]),
        ("accepted", &listings[..1]),
        ("pending", &listings[..0]),
    ] {
        let found = api.get(&format!("/api/channels/listings?outcome={outcome}")).await?.expect(200)?.json();
        let found: Vec<&str> =
            found["items"].as_array().into_iter().flatten().filter_map(|one| one["listing_id"].as_str()).collect();
        assert_eq!(found, wanted.iter().map(ToString::to_string).collect::<Vec<_>>(), "{outcome}");
        let page = api.get(&format!("/listings?outcome={outcome}")).await?.expect(200)?.text;
        for listing in &listings {
            assert_eq!(page.contains(&listing.to_string()), wanted.contains(listing), "{outcome}: {page}");
        }
    }
    let refused = api.get("/api/channels/listings?outcome=bad").await?.expect(400)?.json();
    assert_eq!(refused["field"], "outcome");
    // A parameter that nobody reads is named, as by the API: what is shown would not be what was asked for.
    let (one, here) = (format!("/listings/{}?after=1", listings[0]), format!("/targets/{target}?tab=health"));
    for path in
        ["/?helth=bad", "/targets?helth=bad", "/listings?outcom=failed", "/audit?limit=3", one.as_str(), here.as_str()]
    {
        let page = api.get(path).await?.expect(400)?;
        assert!(page.header("content-type").starts_with("text/html"), "{path}: {}", page.header("content-type"));
        assert!(page.text.contains("is no parameter of this page, which takes "), "{path}: {}", page.text);
    }
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
    // Pages are compressed, and say back what is searched for: no text of a token stays, and each is taken.
    let mut tokens = vec![token.to_owned()];
    for search in ["one", "two"] {
        let page = api.send(Method::GET, &format!("/search?q={search}"), &session, None).await?.expect(200)?.text;
        let shown = page.split("name=\"csrf_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let shown = shown.context("a page has a form")?.to_owned();
        assert!(!tokens.iter().any(|before| before[..12] == shown[..12] || before[50..] == shown[50..]), "{shown}");
        tokens.push(shown);
    }
    for (token, verb) in tokens.iter().zip(["resume", "pause", "resume"]) {
        let path = format!("/targets/{target}/{verb}");
        api.send_text(Method::POST, &path, &session, format!("reason=x&csrf_token={token}")).await?.expect(303)?;
    }
    drop(service);
    world.close().await
}

/// The button that a page of a problem offers first: where it leads, and what it says.
fn first_way(page: &str) -> Option<(&str, &str)> {
    let (way, rest) = page.split_once("<a class=\"button strong\" href=\"")?.1.split_once("\">")?;
    Some((way, rest.split('<').next()?))
}

/// Whoever meets a problem is offered what helps, and nothing that would be refused in the same way.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_problem_leads_to_what_helps() -> anyhow::Result<()> {
    let world = World::new(&[8134]).await?;
    let target = world.target(8134, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with("api", &["--api-rate", "5"])?;
    let anybody = Api::of(&service).await?;
    let owner = anybody.as_caller(&world, ORG, None, "owner")?;
    let viewer = anybody.as_caller(&world, ORG, None, "viewer")?;
    let page = format!("/targets/{target}");
    let pause = format!("{page}/pause");
    let form = async |api: &Api, referer: &str| {
        let headers = [FORM, ("accept", "text/html"), ("referer", referer)];
        api.send_text(Method::POST, &pause, &headers, "reason=works+on+the+roof".to_owned()).await
    };
    let none = form(&anybody, "").await?.expect(401)?.text;
    let sign_in = format!("/sign-in?return_to=%2Ftargets%2F{target}");
    assert_eq!(first_way(&none), Some((sign_in.as_str(), "Sign in")), "{none}");
    assert!(!none.contains("Bearer"), "nobody who signs in has a token: {none}");

    let came_from = format!("{}/targets?health=unknown", anybody.base());
    for (referer, leads) in
        [(came_from.as_str(), "/targets?health=unknown"), ("http://elsewhere.example/targets", page.as_str())]
    {
        let refused = form(&viewer, referer).await?.expect(403)?.text;
        assert_eq!(first_way(&refused), Some((leads, "Go back")), "{refused}");
        assert!(refused.contains("this needs targets:write; roles with it: Owner"), "{refused}");
    }
    form(&owner, "").await?.expect(303)?;
    let paused = form(&owner, "").await?.expect(409)?.text;
    assert_eq!(first_way(&paused), Some((page.as_str(), "See how it stands now")), "{paused}");
    let accepts = [("accept", "text/html")];
    let address = owner.send(Method::GET, &pause, &accepts, None).await?.expect(405)?.text;
    assert_eq!(first_way(&address), Some((page.as_str(), "Go back")), "{address}");
    let absent = format!("/targets/{}", uuid::Uuid::now_v7());
    let absent = owner.send(Method::GET, &absent, &accepts, None).await?.expect(404)?.text;
    assert_eq!(first_way(&absent), Some(("/", "To the overview")), "{absent}");
    assert!(absent.contains("action=\"/search\""), "{absent}");

    // One who asks too often may ask the same again, and sends no form twice without a look.
    let eager = anybody.as_caller(&world, ORG, None, "channel-publisher")?;
    let lists = futures::future::try_join_all((0..40).map(|_| eager.get("/targets?state=paused"))).await?;
    let forms = futures::future::try_join_all((0..40).map(|_| form(&eager, ""))).await?;
    let ways = [("/targets?state=paused", "Try again"), (page.as_str(), "Go back")];
    for (answers, way, is_change) in [(lists, ways[0], false), (forms, ways[1], true)] {
        let limited = answers.iter().find(|answer| answer.status.as_u16() == 429).context("one is limited")?;
        assert_eq!(first_way(&limited.text), Some(way), "{limited:?}");
        assert!(limited.text.contains(" Try again in "), "{limited:?}");
        // Whoever looked only has changed nothing.
        assert_eq!(limited.text.contains("Nothing was changed."), is_change, "{limited:?}");
    }
    drop(service);
    world.close().await
}
