//! The service levels, as the command line and the API tell them.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::{described, names, unit};
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

fn level<'a>(levels: &'a Value, name: &str) -> &'a Value {
    let found = levels["levels"].as_array().and_then(|all| all.iter().find(|level| level["name"] == name));
    found.unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_told_by_what_happened_and_are_silent_where_nothing_did() -> anyhow::Result<()> {
    let world = World::new(&[8160]).await?;
    let service = world.serve("")?;
    let api = Api::of(&service).await?;
    let own = api.as_caller(&world, ORG, None, "viewer")?;
    let before = own.get("/api/channels/service-levels").await?.expect(200)?.json();
    for name in ["syncs_in_time", "sync_failures", "audit_coverage", "throttled_calls", "snapshot_replay"] {
        assert_eq!(
            (&level(&before, name)["value"], &level(&before, name)["holds"]),
            (&Value::Null, &Value::Null),
            "{name}"
        );
    }
    let target = world.target(8160, RateLimit::new(100, 1_000)?).await?;
    let units = names(4);
    let listings = world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(4, 1).await?;
    world.drained(Duration::from_secs(60)).await?;
    let first: String = sqlx::query_scalar("SELECT sync_id::text FROM outbound_audit WHERE listing_id = $1")
        .bind(listings[0].0)
        .fetch_one(&world.pool)
        .await?;
    let replay = ["listing", "replay", &listings[0].to_string(), "--sync-id", &first, "--reason", "a test"];
    let (code, _, said) = world.run(&replay)?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(60)).await?;
    let after = own.get("/api/channels/service-levels").await?.expect(200)?.json();
    for name in
        ["syncs_in_time", "sync_failures", "audit_coverage", "throttled_calls", "snapshot_replay", "read_models"]
    {
        assert_eq!(level(&after, name)["holds"], true, "{}", level(&after, name));
    }
    assert_eq!(level(&after, "syncs_in_time")["observed"], 5);
    assert_eq!(level(&after, "audit_coverage")["value"], 1.0);

    // A channel that refuses a unit for good breaks the promise.
    world.sandbox.fault(json!({"kind": "status", "code": 400, "method": "PUT"})).await?;
    world.publish(&[described("villa-001", 2, "Refused.")]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(60)).await?;
    let (code, printed, said) = world.run(&["--output", "json", "levels", "--org", ORG])?;
    assert_eq!(code, 1, "a level does not hold: {said}");
    let failures = level(&serde_json::from_str(&printed)?, "sync_failures").clone();
    assert_eq!(failures["holds"], false, "{failures}");
    let foreign = api.as_caller(&world, "elsewhere", None, "owner")?;
    let foreign = foreign.get("/api/channels/service-levels").await?.expect(200)?.json();
    assert_eq!(level(&foreign, "sync_failures")["value"], Value::Null);
    drop(service);
    world.close().await
}
