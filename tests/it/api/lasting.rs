//! Answers that go on after they have begun, live pages and exports, end with the credential that they were asked for with.

use std::time::Duration;

use anyhow::Context as _;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use tokio::time::{sleep, timeout};

use super::credentials::{Issuer, local_token};

/// So long the tokens that end during a test are taken.
const SHORT_S: i64 = 8;

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
    timeout(Duration::from_secs(60), reading).await.with_context(|| format!("{words:?} does not come"))??;
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_that_a_token_opened_ends_when_that_has_expired() -> anyhow::Result<()> {
    let world = World::new(&[8136]).await?;
    let target = world.target(8136, RateLimit::new(100, 1_000)?).await?.to_string();
    let issuer = Issuer::start().await?;
    for by_provider in [false, true] {
        let further = if by_provider { issuer.options().to_vec() } else { Vec::new() };
        let service = world.serve_with("api,relay,projector", &further)?;
        let api = Api::of(&service).await?;
        let signed = |seconds| {
            if by_provider { issuer.token("pricing", seconds) } else { local_token(&world, "pricing", ORG, seconds) }
        };
        let opened = async |token: &str| {
            let url = format!("{}/live?topic=target:{target}", api.base());
            let mut stream = reqwest::Client::new().get(url).bearer_auth(token).send().await?.error_for_status()?;
            let seen = told(&mut stream, "do-pause").await?;
            assert!(seen.contains("do-pause"), "by the provider: {by_provider}: {seen}");
            anyhow::Ok(stream)
        };
        // When it shows something, the read models are there.
        let mut goes_on = opened(&signed(600)?).await?;
        let short = signed(SHORT_S)?;
        let mut ends = opened(&short).await?;
        sleep(Duration::from_secs(SHORT_S.unsigned_abs() + 2)).await;
        world.run(&["target", "pause", &target, "--reason", "works on the roof"])?;
        let after = told(&mut ends, "do-resume").await?;
        assert!(!after.contains("do-resume"), "by the provider: {by_provider}: {after}");
        assert!(told(&mut goes_on, "do-resume").await?.contains("do-resume"), "by the provider: {by_provider}");
        api.with_token(&short).get("/api/channels/me").await?.expect(401)?;
        world.run(&["target", "resume", &target])?;
        drop(service);
    }
    world.close().await
}
