//! A dispatcher that dies between a call and its record: what it sent stands in no journal, and is put right all the same. So is what
//! one that was frozen may have sent last.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::process::Process;
use end_to_end::unit::{described, names};
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::why::{edit, json_of};

const ACCOUNT: u64 = 7960;
const FROZEN: u64 = 7961;
const ALONE: u64 = 7962;
const BESIDE: u64 = 7963;

/// What the dispatcher has asked for itself, and the channel took.
const SENT_AGAIN: &str =
    "SELECT count(*) FROM outbound_audit WHERE created_by = 'service:dispatcher' AND outcome = 'accepted'";

/// A rule that applied to the sync that is told.
fn rule<'a>(told: &'a Value, name: &str) -> anyhow::Result<&'a Value> {
    let rules = told["rules"].as_array().context("rules")?;
    rules.iter().find(|rule| rule["rule"] == name).with_context(|| format!("{name}: {told:#}"))
}

fn people(told: &Value) -> String {
    let words = told["words"].as_array().into_iter().flatten();
    words.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

fn time(of: &Value) -> anyhow::Result<DateTime<Utc>> {
    let text = of.as_str().with_context(|| format!("{of} is no time"))?;
    Ok(DateTime::parse_from_rfc3339(text)?.to_utc())
}

async fn sync_of(world: &World, revision: i64) -> anyhow::Result<String> {
    let sync = sqlx::query_scalar("SELECT sync_id::text FROM outbound_audit WHERE revision = $1").bind(revision);
    Ok(sync.fetch_one(&world.pool).await?)
}

async fn shows(world: &World, account: u64, text: &str) -> anyhow::Result<Result<(), String>> {
    let listings = serde_json::to_string(&world.sandbox.listings(account).await?)?;
    Ok(if listings.contains(text) { Ok(()) } else { Err(format!("{text:?} is not there")) })
}

/// A unit that the channel has on the target, with its first words.
async fn with_first_words(world: &World, target: TargetId) -> anyhow::Result<Vec<String>> {
    let units = names(1);
    world.link(target, &units).await?;
    world.publish(&[described(&units[0], 1, "The first words.")]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    Ok(units)
}

/// The unit goes back to what the channel took before, so that as far as the journal knows nothing differs.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_dispatcher_sent_does_not_stay() -> anyhow::Result<()> {
    let world = World::new(&[ACCOUNT]).await?;
    let target = world.target(ACCOUNT, RateLimit::new(50, 1_000)?).await?;
    let others = world.serve("intake,relay,projector,api")?;
    // A lease outlasts the longest call: with shorter calls the heir waits for less.
    let mut dies = world.serve_with("dispatcher", &["--call-timeout-s", "5"])?;
    let units = with_first_words(&world, target).await?;
    shows(&world, ACCOUNT, "The first words.").await?.map_err(anyhow::Error::msg)?;

    world.sandbox.fault(json!({"kind": "hang", "seconds": 60, "apply": true, "method": "PUT"})).await?;
    world.publish(&[described(&units[0], 2, "Words of the dead.")]).await?;
    wait_until("the call is in", Duration::from_secs(20), || shows(&world, ACCOUNT, "Words of the dead.")).await?;
    dies.kill();
    world.sandbox.heal().await?;
    world.publish(&[described(&units[0], 3, "The first words.")]).await?;
    world.taken(1, 3).await?;
    let _heir = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(90)).await?;
    shows(&world, ACCOUNT, "The first words.").await?.map_err(anyhow::Error::msg)?;
    let told = "SELECT count(*) FROM events WHERE event_type = 'SyncAccepted' AND payload::text LIKE '%takes_over%'";
    assert_eq!(world.count(told).await?, 1, "the journal says why all of it was sent");
    let (first, second) = (sync_of(&world, 2).await?, sync_of(&world, 3).await?);
    what_the_dead_had_begun_may_have_been_sent(&world, &others, &first).await?;
    the_heir_waited_for_what_the_dead_had_begun(&world, &first, &second)?;
    drop(others);
    world.close().await
}

async fn what_the_dead_had_begun_may_have_been_sent(
    world: &World,
    serving: &Process,
    sync: &str,
) -> anyhow::Result<()> {
    let (_, told) = json_of(world, &["explain", sync])?;
    let coalesced = rule(&told, "coalesced_into")?;
    let known = (&coalesced["attempted"], &coalesced["goes_on"], &coalesced["may_have_been_sent"]);
    assert_eq!(known, (&json!(false), &json!(false), &json!(true)), "{told:#}");
    let words = people(&told);
    assert!(words.contains("it may have been sent.") && !words.contains("before it was sent"), "{words}");
    let viewer = Api::of(serving).await?.as_caller(world, ORG, None, "viewer")?;
    let page = viewer.get(&format!("/syncs/{sync}")).await?.expect(200)?.text;
    assert!(page.contains("No call is told") && !page.contains("No call was made"), "{page}");
    Ok(())
}

fn the_heir_waited_for_what_the_dead_had_begun(world: &World, first: &str, second: &str) -> anyhow::Result<()> {
    let (_, told) = json_of(world, &["explain", second])?;
    let (waited, took_over) = (rule(&told, "waited")?, rule(&told, "took_over")?);
    assert_eq!((&waited["behind"], &waited["behind_silent"]), (&json!([first]), &json!(first)), "{told:#}");
    let asked_at = time(&told["sync"]["requested_at"])?;
    let (since, until) = (time(&took_over["since"])?, time(&took_over["until"])?);
    assert!(took_over["sync_id"] == json!(first) && since < asked_at && asked_at < until, "{told:#}");
    let words = people(&told);
    for wanted in [
        format!("that of sync {first} ended without a word"),
        format!("one of sync {first}, begun "),
        "ended without a word, so everything was to be sent; nobody could take the listing over before".to_owned(),
    ] {
        assert!(words.contains(&wanted), "{wanted}: {words}");
    }
    assert!(!words.contains("had room"), "{words}");
    Ok(())
}

/// Its first attempt began at once. That the process died in it, and that it took long until another could begin, is none of a wait of which
/// nothing is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_attempt_that_ended_with_its_process_is_told_as_that() -> anyhow::Result<()> {
    let world = World::new(&[ALONE]).await?;
    let target = world.target(ALONE, RateLimit::new(50, 1_000)?).await?;
    let _others = world.serve("intake,relay,projector")?;
    let mut dies = world.serve_with("dispatcher", &["--call-timeout-s", "5"])?;
    let units = with_first_words(&world, target).await?;

    world.sandbox.fault(json!({"kind": "hang", "seconds": 60, "apply": true, "method": "PUT"})).await?;
    world.publish(&[described(&units[0], 2, "Words of the dead.")]).await?;
    wait_until("the call is in", Duration::from_secs(20), || shows(&world, ALONE, "Words of the dead.")).await?;
    dies.kill();
    world.sandbox.heal().await?;
    wait_until("its lease has run out", Duration::from_secs(60), || async {
        let over = world.count("SELECT count(*) FROM dispatch_leases WHERE NOT done AND lease_until < now()").await?;
        Ok(if over == 1 { Ok(()) } else { Err("somebody has it".to_owned()) })
    })
    .await?;
    let (_, told) = json_of(&world, &["explain", &units[0]])?;
    assert_eq!(told["next"]["step"], "waits_for_slot", "{told:#}");
    let words = people(&told);
    assert!(words.contains("an attempt before it ended without a word, so everything is to be sent"), "{words}");
    let _heir = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(90)).await?;

    let (_, told) = json_of(&world, &["explain", &units[0]])?;
    let (waited, took_over) = (rule(&told, "waited")?, rule(&told, "took_over")?);
    let (asked_at, began_at) = (time(&told["sync"]["requested_at"])?, time(&took_over["at"])?);
    let (since, until) = (time(&took_over["since"])?, time(&took_over["until"])?);
    assert_eq!(took_over["sync_id"], told["sync"]["sync_id"], "{told:#}");
    // The lease outlasts the longest call.
    assert!((until - since).num_seconds() >= 15 && until <= began_at, "{told:#}");
    let ms = waited["ms"].as_i64().context("how long")?;
    assert!(ms < 10_000 && (began_at - asked_at).num_seconds() >= 15, "it waited until the first one began: {told:#}");
    assert_eq!((&waited["unheard"], &waited["behind"]), (&json!(false), &json!([])), "{told:#}");
    let rules = told["rules"].as_array().context("rules")?.iter();
    let after: Vec<&Value> = rules.filter(|rule| rule["rule"] == "waited_again" && rule["purpose"].is_null()).collect();
    let is_from_its_end = |wait: &&Value| wait["after_silent"] == json!(true) && wait["from"] == took_over["until"];
    assert!(after.iter().all(is_from_its_end), "{told:#}");
    let words = people(&told);
    assert!(words.contains("ended without a word, so everything was to be sent"), "{words}");
    // On a busy machine it waits for more than the second that is worth a reason.
    assert!(ms >= 1_000 || !words.contains("had room"), "{words}");
    world.close().await
}

/// Its last call arrives after those of whoever took the listing over: nobody can see that, and it is put right all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_frozen_dispatcher_may_have_sent_last_does_not_stay() -> anyhow::Result<()> {
    let world = World::new(&[FROZEN]).await?;
    let target = world.target(FROZEN, RateLimit::new(50, 1_000)?).await?;
    let _others = world.serve("intake,relay,projector")?;
    let frozen = world.serve_with("dispatcher", &["--call-timeout-s", "5"])?;
    let units = with_first_words(&world, target).await?;
    let external = world.sandbox.listings(FROZEN).await?[0]["id"].clone();

    world.sandbox.fault(json!({"kind": "hang", "seconds": 60, "apply": true, "method": "PUT"})).await?;
    world.publish(&[described(&units[0], 2, "Words of the frozen.")]).await?;
    wait_until("the call is in", Duration::from_secs(20), || shows(&world, FROZEN, "Words of the frozen.")).await?;
    frozen.signal(Signal::STOP)?;
    world.sandbox.heal().await?;
    world.publish(&[described(&units[0], 3, "The newest words.")]).await?;
    world.taken(1, 3).await?;
    let _heir = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(90)).await?;
    shows(&world, FROZEN, "The newest words.").await?.map_err(anyhow::Error::msg)?;

    // As if the call had been under way until now.
    let late = json!({ "name": "Late", "description": "Words of the frozen." });
    edit(&world, FROZEN, &format!("/listings/{external}"), &late).await?;
    frozen.signal(Signal::CONT)?;
    wait_until("what came last is put right", Duration::from_secs(60), || shows(&world, FROZEN, "The newest words."))
        .await?;
    world.drained(Duration::from_secs(30)).await?;
    let told = world.count("SELECT count(*) FROM events WHERE event_type = 'LateAttemptRecorded'").await?;
    assert_eq!((told, world.count(SENT_AGAIN).await?), (1, 1));
    world.close().await
}

/// It arrives and is told while whoever took the listing over is at work: the newer state was in before it, and is told after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_frozen_dispatcher_sent_while_its_heir_was_at_work_does_not_stay() -> anyhow::Result<()> {
    let world = World::new(&[BESIDE]).await?;
    let target = world.target(BESIDE, RateLimit::new(50, 1_000)?).await?;
    let _others = world.serve("intake,relay,projector")?;
    let frozen = world.serve_with("dispatcher", &["--call-timeout-s", "5"])?;
    let units = with_first_words(&world, target).await?;
    let external = world.sandbox.listings(BESIDE).await?[0]["id"].clone();

    world.sandbox.fault(json!({"kind": "hang", "seconds": 120, "apply": true, "method": "PUT"})).await?;
    world.publish(&[described(&units[0], 2, "Words of the frozen.")]).await?;
    wait_until("the call is in", Duration::from_secs(20), || shows(&world, BESIDE, "Words of the frozen.")).await?;
    frozen.signal(Signal::STOP)?;
    world.sandbox.heal().await?;
    world.publish(&[described(&units[0], 3, "The newest words.")]).await?;
    world.taken(1, 3).await?;
    // The heir hears late of a call that came through at once. It waits for twenty seconds.
    let path = format!("/v1/listings/{external}");
    let slow = json!({"kind": "hang", "seconds": 15, "apply": true, "method": "PUT", "path_pattern": path, "count": 1});
    world.sandbox.fault(slow).await?;
    let _heir = world.serve("dispatcher")?;
    wait_until("the heir's call is in", Duration::from_secs(60), || shows(&world, BESIDE, "The newest words.")).await?;

    // As if the call had been under way until now.
    let late = json!({ "name": "Late", "description": "Words of the frozen." });
    edit(&world, BESIDE, &format!("/listings/{external}"), &late).await?;
    frozen.signal(Signal::CONT)?;
    wait_until("the late one is told", Duration::from_secs(20), || async {
        let told = world.count("SELECT count(*) FROM events WHERE event_type = 'SupersededSyncFailed'").await?;
        Ok(if told == 1 { Ok(()) } else { Err(format!("{told} of 1")) })
    })
    .await?;
    let ended = world.count("SELECT count(*) FROM events WHERE event_type = 'SyncAccepted'").await?;
    assert_eq!(ended, 1, "the heir is at work still");
    shows(&world, BESIDE, "Words of the frozen.").await?.map_err(anyhow::Error::msg)?;
    wait_until("what came last is put right", Duration::from_secs(60), || shows(&world, BESIDE, "The newest words."))
        .await?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(world.count(SENT_AGAIN).await?, 1);
    world.close().await
}
