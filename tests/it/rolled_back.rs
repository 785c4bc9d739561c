//! Postgres rolls whole transactions back to keep others apart, by a serialization failure or a deadlock, and means them to be tried
//! again.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::{all_described, names, unit};
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// Writes of which Postgres rolls the first `TIMES` back: of the journal, what the intake keeps, two read models, the dispatcher's
/// leases, and the API's first word and last word on a change.
const ROLLED_BACK: [(&str, &str); 7] = [
    ("events", "INSERT"),
    ("units", "INSERT"),
    ("outbound_audit", "INSERT"),
    ("sync_queue", "INSERT"),
    ("dispatch_leases", "INSERT"),
    ("api_answers", "INSERT"),
    ("api_answers", "UPDATE"),
];
const TIMES: i64 = 4;

/// A serialization failure and a deadlock in turn. What a sequence has given is not given again, whatever is rolled back.
async fn roll_back_the_first(world: &World) -> anyhow::Result<()> {
    let function = format!(
        "CREATE FUNCTION roll_back() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE turn bigint := nextval(TG_ARGV[0]::regclass);
         BEGIN
             IF turn <= {TIMES} THEN
                 RAISE EXCEPTION 'rolled back on purpose'
                     USING ERRCODE = CASE WHEN turn % 2 = 1 THEN '40001' ELSE '40P01' END;
             END IF;
             RETURN NEW;
         END $$"
    );
    sqlx::raw_sql(&function).execute(&world.pool).await?;
    for (table, way) in ROLLED_BACK {
        let made = format!(
            "CREATE SEQUENCE rolled_back_{table}_{way};
             CREATE TRIGGER rolled_back_{way} BEFORE {way} ON {table} FOR EACH ROW
                 EXECUTE FUNCTION roll_back('rolled_back_{table}_{way}')"
        );
        sqlx::raw_sql(&made).execute(&world.pool).await?;
    }
    Ok(())
}

/// Asks for a change with one key until it is made, as a reasonable caller does. Gives how often it was to be asked for again; any
/// other answer is an error, such as a 500.
async fn insist(api: &Api, path: &str, body: Option<&Value>) -> anyhow::Result<i64> {
    let key = Uuid::now_v7().to_string();
    for again in 0..60 {
        let answer = api.send(Method::POST, path, &[("idempotency-key", &key)], body).await?;
        if answer.status.is_success() {
            return Ok(again);
        }
        let passes = [409, 503, 504].contains(&answer.status.as_u16()) && !answer.header("retry-after").is_empty();
        anyhow::ensure!(passes, "{path}: {}: {}", answer.status, answer.text);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("{path} was never done")
}

/// Wherever it is met, nothing is lost, nobody gives up, and nobody calls it a bug.
#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_rolls_back_is_done_again() -> anyhow::Result<()> {
    let world = World::new(&[8780]).await?;
    let mut service = world.serve("")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let units = names(15);
    let target = world.target(8780, RateLimit::new(100, 1_000)?).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(15, 1).await?;
    let listings = world.link(target, &units).await?;
    world.drained(Duration::from_secs(60)).await?;

    roll_back_the_first(&world).await?;
    let asking = async {
        let mut again = 0;
        for listing in &listings[..4] {
            let path = format!("/api/channels/listings/{listing}");
            let reason = json!({ "reason": "somebody looks at it" });
            again += insist(&owner, &format!("{path}/pause"), Some(&reason)).await?;
            again += insist(&owner, &format!("{path}/resume"), None).await?;
        }
        anyhow::Ok(again)
    };
    let messages = all_described(&units, 2, "Rolled back.");
    let (again, ()) = futures::try_join!(asking, world.publish(&messages))?;
    assert!(again >= TIMES, "the first {TIMES} changes of the API were rolled back before they began, not {again}");
    world.taken(15, 2).await?;
    world.are_at_the_channel(8780, 15, "Rolled back.", Duration::from_secs(90)).await?;
    let lost =
        "SELECT count(*) FROM outbound_audit WHERE outcome NOT IN ('accepted', 'superseded', 'skipped_unchanged')";
    assert_eq!(world.count(lost).await?, 0);
    let latest = "SELECT count(*) FROM channel_listings WHERE state = 'active' AND revision = 2";
    assert_eq!(world.count(latest).await?, 15);
    assert_eq!(world.nats.dead_letter_count().await?, 0);
    world.read_models_are_right()?;
    for (table, way) in ROLLED_BACK {
        let tries = world.count(&format!("SELECT last_value FROM rolled_back_{table}_{way}")).await?;
        assert!(tries > TIMES, "{way} of {table}: {tries} tries, of which the first {TIMES} are rolled back");
    }
    let printed = service.printed();
    assert!(printed.contains("rolled back on purpose"), "the log says what went wrong: {printed}");
    assert!(!printed.contains("a bug"), "{printed}");
    assert_eq!(service.ended()?, None, "it is the same process");
    world.close().await
}
