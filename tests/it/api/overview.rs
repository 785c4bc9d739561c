//! What the overview tells of the past, whom it calls, and where its figures lead.

use std::time::Duration;

use anyhow::Context as _;
use domain::target::{Health, TargetCommand};
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use serde_json::Value;

/// A line of a plot: its value at the end of each minute, the newest first.
fn line(page: &str, plot: &str, name: &str) -> anyhow::Result<Vec<f64>> {
    let plotted = page.split(&format!("id=\"plot-{plot}\"")).nth(1).and_then(|rest| rest.split("data-plot=\"").nth(1));
    let plotted = plotted.and_then(|rest| rest.split('"').next()).context("a plot")?.replace("&quot;", "\"");
    let plotted: Value = serde_json::from_str(&plotted)?;
    let series = plotted["series"].as_array().context("lines")?;
    let at = series.iter().position(|line| line["name"] == name).with_context(|| format!("no line {name}"))?;
    let values = plotted["data"][at + 1].as_array().context("values")?;
    Ok(values.iter().rev().map(|value| value.as_f64().unwrap_or(-1.0)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_was_stays_in_the_plot_when_it_is_deleted() -> anyhow::Result<()> {
    let world = World::new(&[8135]).await?;
    let target = world.target(8135, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("api,relay,projector")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let degraded =
        TargetCommand::ReportHealth { health: Health::Degraded, reason: "slow".to_owned(), credential_epoch: 0 };
    world.commands().target(target, degraded, &world.metadata(target)?).await?;
    world.drained(Duration::from_secs(30)).await?;
    // It was made an hour ago, and degraded half an hour ago.
    for moved in [
        "UPDATE channel_targets SET created_at = created_at - interval '60 minutes'",
        "UPDATE target_health_changes SET at = at - interval '30 minutes'",
    ] {
        sqlx::query(moved).execute(&world.pool).await?;
    }
    let told = async || {
        let page = viewer.get("/").await?.expect(200)?.text;
        let (unknown, degraded) = (line(&page, "health", "unknown")?, line(&page, "health", "degraded")?);
        let at = |minutes_ago: usize| (unknown[minutes_ago], degraded[minutes_ago]);
        anyhow::Ok((at(90), at(45), at(15), at(0)))
    };
    assert_eq!(told().await?, ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 1.0)));
    let (code, _, said) = world.run(&["target", "delete", &target.to_string(), "--reason", "sold"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(told().await?, ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)));
    drop(service);
    world.close().await
}
