//! A listing at the channel that another listing of the target holds, or of another target of its account, though our reference on it, an
//! attempt under way, or what the channel says of a creation is otherwise: of the two one writes to it, and the other one says why it does
//! not.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use domain::ids::ListingId;
use domain::mapping::hostaway::reference;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::why::{json_of, listed, priced};

const GIVEN: u64 = 7868;
const NAMED: u64 = 7869;
const WAITING: u64 = 7870;
const OTHERS: u64 = 7871;
const LOCKED: u64 = 7873;
const ANSWERED: u64 = 7874;
const HELD: &str = "at the channel is the listing of unit villa-001";

fn run(world: &World, arguments: &[&str]) -> anyhow::Result<String> {
    let (code, printed, said) = world.run(arguments)?;
    ensure!(code == 0, "{arguments:?}: {said}");
    Ok(printed)
}

fn external_id(world: &World, listing: &str) -> anyhow::Result<Value> {
    Ok(json_of(world, &["listing", "show", listing])?.1["external_id"].clone())
}

/// What is told of a listing whose sync was refused as another one holds what it has found or made.
fn refused(world: &World, listing: &str) -> anyhow::Result<()> {
    let (_, told) = json_of(world, &["explain", listing])?;
    assert_eq!(told["sync"]["outcome"], json!("rejected"), "{told:#}");
    assert_eq!(told["listing"]["external_id"], Value::Null, "{told:#}");
    assert!(told["sync"]["detail"].as_str().is_some_and(|detail| detail.contains(HELD)), "{told:#}");
    assert!(told["words"].to_string().contains(HELD), "{told:#}");
    let id = told["sync"]["sync_id"].as_str().context("a sync")?;
    assert!(run(world, &["audit", "show", id])?.contains(HELD));
    // Nothing promises a creation, and each says what helps.
    let remedy = format!("When that one has been sent: `distribution listing sync {listing}");
    let to_do = told["next"]["what_to_do"].to_string();
    assert!(to_do.contains(HELD) && to_do.contains(&remedy), "{told:#}");
    let (_, would) = json_of(world, &["listing", "preview", listing])?;
    let words = would["words"].to_string();
    assert!(words.contains("It would not be created: ") && words.contains(&remedy), "{would:#}");
    assert!(would["creates"] == json!(false) && !words.contains("created if it is not there"), "{would:#}");
    let shown = run(world, &["listing", "show", listing])?;
    assert!(shown.contains(&remedy), "{shown}");
    Ok(())
}

/// It is sent again, and has a listing of its own then.
async fn gets_its_own(world: &World, account: u64, listing: &str, other: &str) -> anyhow::Result<()> {
    run(world, &["listing", "sync", listing, "--reason", "the other one is sent"])?;
    world.drained(Duration::from_secs(60)).await?;
    let (own, others) = (external_id(world, listing)?, external_id(world, other)?);
    assert!(own.is_string() && others.is_string() && own != others, "{own}, {others}");
    assert_eq!(world.sandbox.listings(account).await?.len(), 2);
    let doubled = world.sandbox.account(account).await?["duplicate_references"].clone();
    assert_eq!(doubled, 0);
    Ok(())
}

/// Its own was given to another one, which was not sent yet: the reference of the first is still on it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_linked_afresh_writes_to_no_listing_that_another_one_holds() -> anyhow::Result<()> {
    let world = World::new(&[GIVEN]).await?;
    let target = world.target(GIVEN, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let first = listed(&world, target, "villa-000").await?.to_string();
    let second = ListingId::of(target, &"villa-001".parse()?).to_string();
    let external = external_id(&world, &first)?.as_str().context("an id")?.to_owned();
    let target = target.to_string();
    run(&world, &["listing", "unlink", &first, "--reason", "given away"])?;
    let before = world.sandbox.listings(GIVEN).await?;
    run(&world, &["listing", "link", "--target", &target, "--unit", "villa-001", "--external-id", &external])?;
    run(&world, &["listing", "link", "--target", &target, "--unit", "villa-000", "--afresh"])?;
    world.drained(Duration::from_secs(60)).await?;
    refused(&world, &first)?;
    assert_eq!(world.sandbox.listings(GIVEN).await?, before, "nothing was written to it");
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let page = viewer.get(&format!("/listings/{first}")).await?.expect(200)?.text;
    assert!(page.contains("It is not created: ") && page.contains("When that one has been sent: <code>"), "{page}");
    assert!(page.contains("Why it was refused") && !page.contains("The next change of the unit is sent"), "{page}");
    // Who may send it again is led to the button at each place that tells of the command.
    let publisher = viewer.as_caller(&world, ORG, None, "channel-publisher")?;
    let explained = json_of(&world, &["explain", &first])?.1;
    let sync = explained["sync"]["sync_id"].as_str().context("a sync")?;
    let way = format!("<a href=\"/listings/{first}#do-sync\"");
    for path in [format!("/listings/{first}"), format!("/listings/{first}/preview"), format!("/syncs/{sync}")] {
        let [publishers, viewers] = [publisher.get(&path).await?, viewer.get(&path).await?];
        assert!(publishers.expect(200)?.text.contains(&way), "{path}");
        assert!(!viewers.expect(200)?.text.contains(&way), "{path}");
    }

    world.publish(&[priced("villa-001", 1, 5_000)]).await?;
    world.taken(2, 1).await?;
    world.drained(Duration::from_secs(60)).await?;
    assert_eq!(external_id(&world, &second)?, json!(external));
    gets_its_own(&world, GIVEN, &first, &second).await?;
    drop(service);
    world.close().await
}

/// A creation is answered with our reference and with the id of a listing that another one holds, at this target or at another one of the
/// account, which may be somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_is_not_written_to_where_another_one_holds_its_id() -> anyhow::Result<()> {
    let world = World::new(&[ANSWERED]).await?;
    let one = world.target(ANSWERED, RateLimit::new(100, 1_000)?).await?;
    let other = world.target(ANSWERED, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let first = listed(&world, one, "villa-000").await?.to_string();
    let external = external_id(&world, &first)?.as_str().context("an id")?.to_owned();
    let id: u64 = external.parse()?;
    world.publish(&[priced("villa-001", 1, 5_000), priced("villa-002", 1, 5_000)]).await?;
    world.taken(3, 1).await?;
    let before = world.sandbox.listings(ANSWERED).await?;
    let nights = world.sandbox.nights(ANSWERED, id, "2030-01-01", "2030-01-10").await?;
    for (target, name) in [(one, "villa-001"), (other, "villa-001"), (other, "villa-002"), (one, "villa-002")] {
        if target == other && name == "villa-002" {
            // It takes that one up again when it is linked again.
            run(&world, &["listing", "unlink", &first, "--reason", "for a while"])?;
            world.drained(Duration::from_secs(60)).await?;
        }
        let unit = name.parse()?;
        let listing = ListingId::of(target, &unit);
        let body =
            json!({ "status": "success", "result": { "id": id, "internalListingName": reference(&unit, &listing) } });
        let lie = json!({ "kind": "lie", "account": ANSWERED, "method": "POST", "path_pattern": "/v1/listings", "code": 200, "body": body });
        let lie = world.sandbox.fault_rule(&lie).await?;
        world.link(target, &[name.to_owned()]).await?;
        world.drained(Duration::from_secs(60)).await?;
        let listing = listing.to_string();
        let (_, told) = json_of(&world, &["explain", &listing])?;
        assert_eq!(told["sync"]["outcome"], json!("rejected"), "{told:#}");
        assert_eq!(told["listing"]["external_id"], Value::Null, "{told:#}");
        let detail = told["sync"]["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with(&external) && detail.contains("nothing was sent to it"), "{told:#}");
        let names = detail.contains("villa-000") || detail.contains(&first);
        assert_eq!(names, target == one, "whose it is at another target is not told: {told:#}");
        world.sandbox.mend(lie).await?;
        run(&world, &["listing", "sync", &listing, "--reason", "the channel is well again"])?;
        world.drained(Duration::from_secs(60)).await?;
        let own = external_id(&world, &listing)?;
        assert!(own.is_string() && own != json!(external), "{own}");
        let after = world.sandbox.listings(ANSWERED).await?;
        for field in ["internalListingName", "name", "cleaningFee"] {
            assert_eq!(after[0][field], before[0][field], "nothing was written to the other one's");
        }
        assert_eq!(world.sandbox.nights(ANSWERED, id, "2030-01-01", "2030-01-10").await?, nights);
    }
    assert_eq!(world.sandbox.listings(ANSWERED).await?.len(), 5);
    let log = service.printed();
    assert!(log.contains("is another listing's: it is not written to") && log.contains(&first), "{log}");
    assert!(!log.contains("its holder is sent again"), "{log}");
    drop(service);
    world.close().await
}

/// A listing at the channel that was given to the second one while the attempt of the first that has made it is under way.
struct Named {
    first: ListingId,
    second: ListingId,
    external: Value,
    /// What holds the nights of the first.
    held: u64,
}

async fn named_meanwhile(world: &World, account: u64) -> anyhow::Result<Named> {
    let target = world.target(account, RateLimit::new(100, 1_000)?).await?;
    let mut taken = priced("villa-000", 1, 4_000);
    taken["unit"]["calendar"][0]["available"] = json!(false);
    world.publish(&[taken, priced("villa-001", 1, 5_000)]).await?;
    world.taken(2, 1).await?;
    // The nights of the first one, once it is made.
    let held =
        json!({ "kind": "hold", "account": account, "method": "PUT", "path_prefix": "/v1/listings", "count": 1 });
    let held = world.sandbox.fault_rule(&held).await?;
    let first = world.link(target, &["villa-000".to_owned()]).await?[0];
    let second = ListingId::of(target, &"villa-001".parse()?);
    let external = wait_until("the first one is made", Duration::from_secs(20), || async {
        let made = world.sandbox.listings(account).await?.first().map(|listing| listing["id"].clone());
        let is_held = world.sandbox.hits(held).await? == 1;
        Ok(made.filter(|_| is_held).ok_or_else(|| "it is not there".to_owned()))
    })
    .await?;
    let (id, target) = (external.to_string(), target.to_string());
    run(world, &["listing", "link", "--target", &target, "--unit", "villa-001", "--external-id", &id])?;
    let sent = "SELECT count(*) FROM outbound_audit WHERE unit_id = 'villa-001' AND outcome LIKE 'accepted%'";
    wait_until("the second one is sent", Duration::from_secs(15), || async {
        let sent = world.count(sent).await?;
        Ok(if sent == 1 { Ok(()) } else { Err(format!("{sent} syncs")) })
    })
    .await?;
    Ok(Named { first, second, external, held })
}

/// The second one is sent once more, and of the two writes to it.
async fn is_held_by_the_second(world: &World, account: u64, named: &Named) -> anyhow::Result<()> {
    let again = "SELECT count(*) FROM outbound_audit
                 WHERE unit_id = 'villa-001' AND created_by = 'service:dispatcher' AND outcome LIKE 'accepted%'";
    wait_until("it is sent once more", Duration::from_secs(30), || async {
        let again = world.count(again).await?;
        Ok(if again == 1 { Ok(()) } else { Err(format!("{again} syncs")) })
    })
    .await?;
    world.drained(Duration::from_secs(60)).await?;
    let (first, second, id) = (named.first.to_string(), named.second.to_string(), &named.external);
    refused(world, &first)?;
    let words = json_of(world, &["explain", &second])?.1["words"].to_string();
    assert!(words.contains("to be sent once more: an attempt of another listing"), "{words}");
    assert!(words.contains("A call had ended by then of which nobody knows what it wrote"), "{words}");
    assert!(!words.contains("somebody asked for it") && !words.contains("as replayed"), "{words}");
    assert_eq!(world.count(&format!("SELECT count(*) FROM channel_listings WHERE external_id = '{id}'")).await?, 1);
    let number = id.as_u64().context("a number")?;
    let nights = world.sandbox.nights(account, number, "2030-01-05", "2030-01-06").await?;
    assert!(nights.iter().all(|night| night["isAvailable"] == 1) && !nights.is_empty(), "{nights:?}");
    gets_its_own(world, account, &first, &second).await
}

/// Somebody sees the new listing at the channel and gives it to another unit, before the attempt that makes it has ended.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_named_while_the_attempt_that_makes_it_is_under_way_is_held_by_one() -> anyhow::Result<()> {
    let world = World::new(&[NAMED]).await?;
    let service = world.serve("")?;
    let named = named_meanwhile(&world, NAMED).await?;
    // The nights of the first arrive last.
    world.sandbox.mend(named.held).await?;
    is_held_by_the_second(&world, NAMED, &named).await?;
    let log = service.printed();
    assert!(log.contains("it is not recorded, and its holder is sent again"), "{log}");
    drop(service);
    world.close().await
}

/// Whoever asks for a sync is told that others were faster.
const NOT_NOW: [&str; 2] = [
    "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = 'serialization_failure'; END $$",
    "CREATE TRIGGER not_now BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.event_type = 'SyncRequested')
     EXECUTE FUNCTION not_now()",
];

const READABLE: &str = "UPDATE events SET event_type = 'ListingResumed', payload = '{\"ListingResumed\": {}}'
                        WHERE event_type = 'OfAnotherBuild'";

/// The refusal is the last that is known of the attempt's calls: it is not told before the other one is to be sent once more.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_is_refused_waits_until_whoever_holds_its_listing_can_be_asked_for() -> anyhow::Result<()> {
    let world = World::new(&[WAITING]).await?;
    let service = world.serve("")?;
    let named = named_meanwhile(&world, WAITING).await?;
    let first = named.first;
    let ended = format!("SELECT count(*) FROM events WHERE event_type = 'SyncFailed' AND aggregate_id = '{first}'");
    // A newer build has written to it.
    world.make_unreadable(named.second).await?;
    world.sandbox.mend(named.held).await?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(world.count(&ended).await?, 0);
    for statement in NOT_NOW.into_iter().chain([READABLE]) {
        sqlx::query(statement).execute(&world.pool).await?;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(world.count(&ended).await?, 0);
    sqlx::query("DROP TRIGGER not_now ON events").execute(&world.pool).await?;
    is_held_by_the_second(&world, WAITING, &named).await?;
    drop(service);
    world.close().await
}

/// A newer build has written to the listing of another target that has the same one at the channel: that one is nobody's business here.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_another_target_that_cannot_be_read_keeps_nobody_from_a_link() -> anyhow::Result<()> {
    let world = World::new(&[OTHERS]).await?;
    let one = world.target(OTHERS, RateLimit::new(100, 1_000)?).await?;
    let other = world.target(OTHERS, RateLimit::new(100, 1_000)?).await?.to_string();
    let service = world.serve("")?;
    let listing = listed(&world, one, "villa-000").await?;
    let external = external_id(&world, &listing.to_string())?.as_str().context("an id")?.to_owned();
    world.make_unreadable(listing).await?;
    run(&world, &["listing", "link", "--target", &other, "--unit", "villa-001", "--external-id", &external])?;
    drop(service);
    world.close().await
}

/// As where the read model is so far behind that the look into the journal after it has no end.
#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_listing_is_not_looked_for_without_an_end() -> anyhow::Result<()> {
    let world = World::new(&[LOCKED]).await?;
    let target = world.target(LOCKED, RateLimit::new(100, 1_000)?).await?.to_string();
    let mut session = world.pool.begin().await?;
    sqlx::query("LOCK TABLE channel_listings").execute(&mut *session).await?;
    let locked = tokio::spawn(async move {
        let _ = sqlx::query("SELECT pg_sleep(40)").execute(&mut *session).await;
        session.rollback().await
    });
    let began = Instant::now();
    let link = ["listing", "link", "--target", &target, "--unit", "villa-001", "--external-id", "51600"];
    let (code, printed, said) = world.run(&link)?;
    let took = began.elapsed();
    assert!(code != 0 && took < Duration::from_secs(30), "{code} after {took:?}: {printed}{said}");
    locked.abort();
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()")
        .execute(&world.pool)
        .await?;
    run(&world, &link)?;
    world.close().await
}
