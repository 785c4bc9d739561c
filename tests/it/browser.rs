//! The dashboard in a real Chromium: `tests/browser/`, run by `dev/playwright` against a real service and a sandbox.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use domain::ids::TargetId;
use domain::metadata::Actor;
use domain::target::TargetCommand;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::identity_provider::IdentityProvider;
use end_to_end::nats_server::NatsServer;
use end_to_end::postgres_server::PostgresServer;
use end_to_end::process::{Process, binary};
use end_to_end::server_tools::Tools;
use end_to_end::unit::{described, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, Beginning, ORG, World};
use rustix::process::Signal;
use serde_json::{Value, json};
use services::views::health::check_now;
use tokio::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where traces of the dashboard can be looked at.
const TRACES: &str = "https://traces.example.org/trace/{trace_id}";
/// Why a target is paused.
const SOLD: &str = "its villas are being sold";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Runs files of tests; what they saw is left in `.dev/screenshots/`.
async fn run(world: &World, dashboard: &str, files: &[&str], things: &Value) -> anyhow::Result<()> {
    let mut command = Command::new(root().join("dev/playwright"));
    command.args(files).envs(world.environment()?).env("DASHBOARD", dashboard).env("THINGS", things.to_string());
    command.env("DISTRIBUTION", binary("distribution")?).env("SCREENSHOTS", root().join(".dev/screenshots"));
    command.env("UNIT", root().join("nats/examples/unit-changed.v1.json"));
    let output = command.output().await.context("playwright does not run: dev/playwright --fetch")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    std::fs::write(root().join(".dev/screenshots/tests.txt"), &printed)?;
    ensure!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Where a browser has to go: cookies of a secure host are taken at `localhost`.
fn local(api: &Api) -> String {
    api.base().replace("127.0.0.1", "localhost")
}

/// A sync that the channel refused, in words that name a guest.
async fn one_that_failed(world: &World) -> anyhow::Result<uuid::Uuid> {
    let said = json!({ "status": "fail", "message": "the description is held by a stay", "guestName": "Jane Doe" });
    world
        .sandbox
        .fault(json!({ "kind": "status", "code": 422, "account": 8150, "method": "PUT", "body": said }))
        .await?;
    world.publish(&[described("villa-001", 3, "This is refused.")]).await?;
    world.taken(1, 3).await?;
    world.drained(Duration::from_secs(30)).await?;
    world.sandbox.heal().await?;
    let failed = "SELECT sync_id FROM outbound_audit WHERE outcome = 'rejected'";
    Ok(sqlx::query_scalar(failed).fetch_one(&world.pool).await?)
}

/// A target whose credentials are refused, to a sync and then to a check.
async fn refuse(world: &World, target: TargetId) -> anyhow::Result<()> {
    std::fs::write(world.path("secrets/hostaway-8152"), "not the secret")?;
    world.link(target, &["villa-001".to_owned()]).await?;
    wait_until("the credentials are refused", Duration::from_secs(30), || async {
        let seen = "SELECT count(*) FROM channel_targets WHERE health = 'unauthorised'";
        Ok(if world.count(seen).await? == 1 { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await?;
    let check = check_now(&world.pool, target, &Actor::cli("tester")).await?.context("a dispatcher makes it")?;
    ensure!(check.class == "unauthorised", "{check:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_people_see_their_syncs_live_and_do_what_their_roles_allow() -> anyhow::Result<()> {
    let world = World::new(&[8150, 8152, 8153]).await?;
    let target = world.target(8150, RateLimit::new(100, 1_000)?).await?;
    let (refused, sold) =
        (world.target(8152, RateLimit::default()).await?, world.target(8153, RateLimit::default()).await?);
    let pause = TargetCommand::Pause { reason: SOLD.to_owned() };
    world.commands().target(sold, pause, &world.metadata(sold)?).await?;
    let service = world.serve_with("", &["--api-rate", "10000", "--trace-url", TRACES])?;
    let api = Api::of(&service).await?;
    // One whose id is as long as it may be, and has no place where it would be broken.
    let long = format!("chk-{}", "W".repeat(60));
    world.publish(&[unit("villa-000", 1), unit("villa-001", 1), unit(&long, 1)]).await?;
    world.taken(3, 1).await?;
    let linked = world.link(target, &["villa-000".to_owned(), "villa-001".to_owned(), long]).await?;
    let (listing, long) = (linked[0], linked[2]);
    // Two that break the contract, for the page of dead letters.
    for unit in ["villa-002", "villa-003"] {
        let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &unit.parse()?);
        world.publish_raw(subject, b"{}".to_vec()).await?;
    }
    world.drained(Duration::from_secs(30)).await?;
    // One with a trace.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &"villa-001".parse()?);
    world.publish_with(subject, headers, serde_json::to_vec(&unit("villa-001", 2))?).await?;
    let traced: uuid::Uuid = wait_until("the traced sync", Duration::from_secs(20), || async {
        let query = "SELECT sync_id FROM outbound_audit WHERE cause = 'unit_changed'";
        Ok(sqlx::query_scalar(query).fetch_optional(&world.pool).await?.ok_or_else(|| "not asked for".to_owned()))
    })
    .await?;
    world.drained(Duration::from_secs(30)).await?;
    let failed = one_that_failed(&world).await?;
    refuse(&world, refused).await?;
    let of_listing =
        "FROM outbound_audit AS a JOIN channel_listings AS l USING (listing_id) WHERE l.unit_id = 'villa-000'";
    let (sync, external): (uuid::Uuid, String) =
        sqlx::query_as(&format!("SELECT a.sync_id, l.external_id {of_listing}")).fetch_one(&world.pool).await?;
    let things = json!({ "org": ORG, "account": ACCOUNT, "unit": "villa-000", "target": target, "listing": listing,
        "sync": sync, "external": external, "absent": uuid::Uuid::now_v7(), "traced": traced,
        "failed": failed, "long": long, "refused": refused, "sold": SOLD, "quiet": "nobody-yet",
        "trace": TRACE, "traces": TRACES.replace("{trace_id}", TRACE) });
    run(&world, &local(&api), &["dashboard.spec.js", "looks.spec.js"], &things).await?;
    ensure!(!service.printed().contains("panicked"), "a page made the service panic");
    drop(service);
    world.close().await
}

/// What is shown when nothing can be read. A token is checked without Postgres, a session is not.
#[tokio::test(flavor = "multi_thread")]
async fn heavy_a_page_without_postgres_says_so_to_everybody() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let mut postgres = PostgresServer::start(&tools, folder.path()).await?;
    let world = World::begin(Beginning { database_url: Some(postgres.url()), ..Beginning::default() }, &[8154]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let (code, token, said) = world.run(&["token", "--subject", "ana", "--org", ORG, "--role", "viewer"])?;
    ensure!(code == 0, "no token: {said}");
    postgres.kill();
    run(&world, &local(&api), &["away.spec.js"], &json!({ "token": token.trim() })).await?;
    postgres.run().await?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_an_open_overview_says_that_nats_is_away_and_moves_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = NatsServer::start(folder.path()).await?;
    let world = World::begin(Beginning { nats_url: Some(nats.url()), ..Beginning::default() }, &[8155]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let ran = run(&world, &local(&api), &["nats.spec.js"], &json!({ "org": ORG, "nats": nats.process.id() })).await;
    nats.process.signal(Signal::CONT)?;
    ran?;
    drop(service);
    world.close().await
}

fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_a_person_signs_in_and_out_at_a_real_provider_in_a_browser() -> anyhow::Result<()> {
    let world = World::new(&[8151]).await?;
    let port = free_port()?;
    let dashboard = format!("http://localhost:{port}");
    let callback = format!("{dashboard}/sign-in/callback");
    let provider = IdentityProvider::start(&callback).await?;
    let secret = world.path("secrets/oidc");
    std::fs::write(&secret, "the-clients-secret")?;
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let listen = format!("127.0.0.1:{port}");
    let further = ["--listen", &listen, "--oidc-issuer", &provider.issuer, "--oidc-client-secret-ref", "file:oidc"];
    let redirect = ["--oidc-redirect-url", &callback, "--oidc-scopes", "channels"];
    let service: Process = world.serve_with("api", &[further.as_slice(), redirect.as_slice()].concat())?;
    Api::of(&service).await?;
    run(&world, &dashboard, &["provider.spec.js"], &json!({ "org": "sunstay" })).await?;
    drop((service, provider));
    world.close().await
}
