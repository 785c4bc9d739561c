//! The API against its own document: generated requests, good ones and bad ones.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use domain::access::AccessRole;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::unit;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};
use services::api::document;
use services::api::policy::{Rule, rule};

use super::credentials::{session, session_as, session_in};

const DOCUMENT: &str = "/api/openapi.json";

/// Requests of each operation that are made up.
const EXAMPLES: &str = "10";

/// What every answer has to be: nothing fails inside, and what comes is described.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// The document as whoever is signed in gets it.
async fn document_of(world: &World, nobody: &Api, org: &str) -> anyhow::Result<Value> {
    let (cookie, _) = session(world, "ana", org).await?;
    let document = nobody.send(Method::GET, DOCUMENT, &[("cookie", &cookie)], None).await?.expect(200)?;
    Ok(document.json())
}

/// Where an operation is, by the ids that the document names for it.
fn named(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.filter(|parameter| parameter["in"] == "path").fold(path.to_owned(), |path, parameter| {
        let name = parameter["name"].as_str().unwrap_or_default();
        parameter["example"].as_str().map_or(path.clone(), |id| path.replace(&format!("{{{name}}}"), id))
    })
}

/// Whoever is signed in pastes them as they stand. The target or listing that is changed is theirs to name.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_requests_are_taken() -> anyhow::Result<()> {
    let world = World::new(&[8141]).await?;
    let target = world.target(8141, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with("", &["--api-rate", "100000"])?;
    world.publish(&[unit("villa-000", 1), unit("villa-001", 1)]).await?;
    world.taken(2, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.drained(Duration::from_secs(30)).await?;
    let nobody = Api::of(&service).await?;
    let api = nobody.as_caller(&world, ORG, None, "owner")?;
    let document = document_of(&world, &nobody, ORG).await?;
    let (mut bodies, mut parameters, mut reads) = (0, 0, 0);
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let mut path = named(path, operation);
            reads += usize::from([target.to_string(), listing.to_string()].iter().any(|id| path.contains(id)));
            path = path.replace("{target_id}", &target.to_string()).replace("{listing_id}", &listing.to_string());
            // What takes something away would leave nothing for the others.
            if method == "delete" || path.contains('{') {
                continue;
            }
            let method: Method = method.to_uppercase().parse()?;
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let name = schema.as_str().and_then(|at| at.rsplit('/').next()).unwrap_or_default();
            let mut body = document["components"]["schemas"][name]["example"].clone();
            assert!(name.is_empty() || body.is_object(), "{method} {path}: {name} has no example");
            bodies += usize::from(body.is_object());
            if body.get("base_url").is_some() {
                // Nobody calls the real one from here.
                body["base_url"] = json!(format!("{}/v1", world.sandbox.url));
            }
            let body = Some(&body).filter(|body| body.is_object());
            let mut requests = vec![(path.clone(), None)];
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let Some(example) = parameter["example"].as_str() else { continue };
                let name = parameter["name"].as_str().unwrap_or_default();
                parameters += 1;
                match parameter["in"].as_str() {
                    Some("path") => {}
                    Some("header") => requests.push((path.clone(), Some((name, example)))),
                    _ => requests.push((format!("{path}?{name}={example}"), None)),
                }
            }
            for (path, header) in requests {
                let headers: Vec<_> = header.into_iter().collect();
                let answer = api.send(method.clone(), &path, &headers, body).await?;
                // A second pause is a conflict.
                let status = answer.status.as_u16();
                let fits = status < 400 || status == 409;
                assert!(fits, "{method} {path} {headers:?} {body:?}: {status} {}", answer.text);
            }
        }
    }
    assert!(bodies >= 8 && parameters >= 10 && reads >= 6, "{bodies} bodies, {parameters} parameters, {reads} reads");
    drop(service);
    world.close().await
}

/// Where a read is with all that the page fills in, as the page sends it.
fn filled_in(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let given = parameters.filter(|parameter| parameter["in"] == "query").filter_map(|parameter| {
        let (name, example) = (parameter["name"].as_str()?, parameter["example"].as_str()?);
        Some(format!("{name}={example}"))
    });
    format!("{}?{}", named(path, operation), given.collect::<Vec<_>>().join("&"))
}

/// Reads of which there is something in the test.
fn has_some(path: &str) -> bool {
    let lists = ["/api/channels/audit", "/api/channels/targets", "/api/channels/listings"];
    lists.contains(&path) || path.ends_with("/history")
}

/// As it stands there: whoever presses the button has not to know what else to take out.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_on_the_page_finds_something_whatever_one_may_read() -> anyhow::Result<()> {
    let world = World::new(&[8147]).await?;
    let target = world.target(8147, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with("", &["--api-rate", "1000"])?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.link(target, &["villa-000".to_owned()]).await?;
    world.drained(Duration::from_secs(30)).await?;
    let nobody = Api::of(&service).await?;
    for (role, least) in [(AccessRole::Owner, 15), (AccessRole::Analyst, 6)] {
        let (cookie, _) = session_as(&world, "ana", ORG, role).await?;
        let with = [("cookie", cookie.as_str())];
        let document = nobody.send(Method::GET, DOCUMENT, &with, None).await?.expect(200)?.json();
        let mut tried = 0;
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let may = match rule(&Method::GET, path) {
                Some(Rule::Needs(permission)) => permission.roles().contains(&role),
                _ => continue,
            };
            if !may {
                assert_eq!(named(path, &item["get"]), *path, "{role}: what may not be read is not named");
                continue;
            }
            let there = filled_in(path, &item["get"]);
            assert!(!there.contains('{'), "{role}: {there} has no id");
            let found = nobody.send(Method::GET, &there, &with, None).await?.expect(200)?;
            let items = found.json()["items"].as_array().map_or(0, Vec::len);
            assert!(!has_some(path) || items > 0, "{role}: {there}: {}", found.text);
            tried += 1;
        }
        assert!(tried >= least, "{role}: {tried}");
    }
    drop(service);
    world.close().await
}

/// What others have is named to nobody, and what is committed is what programs get.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_names_what_whoever_is_signed_in_may_see() -> anyhow::Result<()> {
    let world = World::new(&[8146]).await?;
    let target = world.target(8146, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    world.publish(&[unit("villa-000", 1), unit("villa-001", 1)]).await?;
    world.taken(2, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.drained(Duration::from_secs(30)).await?;
    let nobody = Api::of(&service).await?;
    let of_link = |document: &Value| document["components"]["schemas"]["LinkListing"]["example"].clone();
    let own = document_of(&world, &nobody, ORG).await?;
    assert_eq!(of_link(&own), json!({ "target_id": target, "unit_id": "villa-001" }));
    let text = own.to_string();
    assert!(text.contains(&target.to_string()) && text.contains(&listing.to_string()));
    let committed = serde_json::to_value(document())?;
    assert_eq!(document_of(&world, &nobody, "elsewhere").await?, committed);
    let owner = nobody.as_caller(&world, ORG, None, "owner")?;
    for api in [&nobody, &owner] {
        assert_eq!(api.get(DOCUMENT).await?.expect(200)?.json(), committed);
    }
    let ended = [("cookie", "__Host-distribution=of-nobody")];
    assert_eq!(nobody.send(Method::GET, DOCUMENT, &ended, None).await?.expect(200)?.json(), committed);
    drop(service);
    world.close().await
}

/// Syncs of two accounts in turn, and those that a third one has had since.
const OF_BOTH: i64 = 4_000;
const SINCE: i64 = 6_000;

async fn fill(world: &World) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO outbound_audit (sync_id, listing_id, idempotency_key, org_id, account_id, target_id, unit_id, ordinal,
             cause, revision, snapshot, needs, outcome, attempts, created_by, credential, correlation_id, requested_at,
             finished_at, position, updated_position)
         SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, '00000000-0000-7000-8000-00000000000b',
             decode(lpad(to_hex(n), 64, '0'), 'hex'), $1, CASE WHEN n > $2 THEN 'villas' WHEN n % 2 = 0 THEN 'bali' ELSE 'java' END,
             '00000000-0000-7000-8000-00000000000a', 'villa-000', n, 'manual', n, decode(lpad('', 64, '0'), 'hex'), '{rates}',
             'accepted', 1, 'service:intake', 'service', gen_random_uuid(), now(), now(), n, n
         FROM generate_series(1, $2 + $3) AS n",
    )
    .bind(ORG)
    .bind(OF_BOTH)
    .bind(SINCE)
    .execute(&world.pool)
    .await?;
    sqlx::query("ANALYZE outbound_audit").execute(&world.pool).await?;
    Ok(())
}

/// Postgres tells of what a session has read when that rests, or a little later: so it is asked again and again.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_sync_of_some_accounts_is_named_without_reading_what_others_have_had_since() -> anyhow::Result<()> {
    let world = World::new(&[8148]).await?;
    fill(&world).await?;
    let service = world.serve_with("api", &["--api-rate", "1000"])?;
    let nobody = Api::of(&service).await?;
    let cookie = session_in(&world, "ana", ORG, ["bali", "java"]).await?;
    let newest = format!("00000000-0000-7000-8000-{OF_BOTH:012}");
    let scans_and_rows = "SELECT sum(i.idx_scan)::bigint, (sum(i.idx_tup_read) + max(t.seq_tup_read))::bigint
        FROM pg_stat_user_indexes AS i JOIN pg_stat_user_tables AS t USING (relid) WHERE t.relname = 'outbound_audit'";
    let told = || sqlx::query_as::<_, (i64, i64)>(scans_and_rows).fetch_one(&world.pool);
    let (before, mut now, mut asked) = (told().await?, told().await?, 0);
    while now.0 == before.0 {
        ensure!(asked < 100, "nothing is told of what was read");
        let document = nobody.send(Method::GET, DOCUMENT, &[("cookie", &cookie)], None).await?.expect(200)?;
        assert!(document.text.contains(&newest), "its id is in the document: {newest}");
        asked += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
        now = told().await?;
    }
    let read = now.1 - before.1;
    assert!(read < SINCE / 2, "{read} rows were read for {asked} documents");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_generated_requests_find_no_failure_and_no_answer_that_is_not_described() -> anyhow::Result<()> {
    let world = World::new(&[8140]).await?;
    let target = world.target(8140, RateLimit::default()).await?;
    let service = world.serve_with("", &["--api-rate", "100000"])?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.link(target, &["villa-000".to_owned()]).await?;
    let api = Api::of(&service).await?;
    let (code, token, said) = world.run(&["token", "--subject", "schemathesis", "--org", ORG, "--role", "owner"])?;
    ensure!(code == 0, "no token: {said}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/schemathesis");
    let document = format!("{}{DOCUMENT}", api.base());
    let authorization = format!("Authorization: Bearer {}", token.trim());
    let arguments = ["run", &document, "-H", &authorization, "--max-examples", EXAMPLES, "--checks", CHECKS];
    let further = ["--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all", "--seed", "1"];
    let mut command = tokio::process::Command::new(script);
    let output = command.args(arguments).args(further).current_dir(world.path("")).output().await;
    let output = output.context("schemathesis does not run: dev/schemathesis --fetch")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    ensure!(!service.printed().contains("panicked"), "a request made the service panic");
    drop(service);
    world.close().await
}

/// Without the CSRF token it is a 403.
#[test]
fn a_session_alone_is_enough_for_reads_and_for_no_change() -> anyhow::Result<()> {
    let document = serde_json::to_value(document())?;
    let (mut reads, mut changes) = (0, 0);
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let asked = operation.get("security").unwrap_or(&document["security"]);
            let ways: Vec<Vec<&str>> = asked
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|way| Some(way.as_object()?.keys().map(String::as_str).collect()))
                .collect();
            match (method.as_str(), ways.as_slice()) {
                (_, []) => assert!(!path.starts_with("/api/"), "{method} {path} is open to everybody"),
                ("get", ways) => {
                    assert_eq!(ways, [vec!["bearer"], vec!["session"]], "{method} {path}");
                    reads += 1;
                }
                (_, ways) => {
                    let mut ways = ways.to_vec();
                    for way in &mut ways {
                        way.sort_unstable();
                    }
                    assert_eq!(ways, [vec!["bearer"], vec!["csrf", "session"]], "{method} {path}");
                    changes += 1;
                }
            }
        }
    }
    assert!(reads > 10 && changes > 10, "{reads} reads, {changes} changes");
    Ok(())
}
