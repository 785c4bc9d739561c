//! The API against its own document: generated requests, good ones and bad ones.

use std::path::Path;

use anyhow::{Context, ensure};
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::unit;
use end_to_end::world::{ORG, World};

/// Requests of each operation that are made up.
const EXAMPLES: &str = "25";

/// What every answer has to be: nothing fails inside, and what comes is described.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

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
    let document = format!("{}/api/openapi.json", api.base());
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
