//! `explain` and `listing preview` where nothing was sent yet: what is found by which id, who asked, what is next, and that a
//! preview leaves no trace.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::service::{Service, eventually};
use crate::world::{World, unit};

fn events(world: &World) -> i64 {
    world.block_on(async {
        let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&mut connection).await.unwrap()
    })
}

fn priced(name: &str, revision: u64, cleaning: u64) -> Value {
    let mut body = unit(name, revision);
    body["unit"]["prices"]["cleaning_fee"] = cleaning.into();
    body
}

fn explained(world: &World, id: &str) -> Value {
    world.json(&["explain", id]).ok().json()
}

/// The read models show what the commands wrote.
fn caught_up(world: &World) {
    let _projector = Service::start(world, "relay,projector");
    eventually("the read models followed", || {
        let lags = world.json(&["projections", "list"]).ok().json();
        lags.as_array().unwrap().iter().all(|lag| lag["behind_events"] == 0).then_some(())
    });
}

#[test]
fn a_sync_that_waits_is_explained_by_every_id_that_somebody_may_have() {
    let world = World::new();
    let first = world.keep(unit("villa-1", 7));
    let target = world.target("Bali");
    let link = ["listing", "link", "--target", &target, "--unit", "villa-1", "--external-id", "51600"];
    let linked = world.json(&[&["--as", "ops@example.org"][..], &link].concat()).ok().json();
    let listing = linked[0]["listing_id"].as_str().unwrap().to_owned();

    let told = explained(&world, &listing);
    let sync = told["sync"]["sync_id"].as_str().unwrap().to_owned();
    assert_eq!((&told["sync"]["cause"], &told["sync"]["revision"]), (&json!("linked"), &json!(7)));
    assert_eq!((&told["sync"]["snapshot"], &told["sync"]["outcome"]), (&json!(first), &json!("pending")));
    assert_eq!(
        (&told["sync"]["by"]["actor"], &told["sync"]["by"]["credential"]),
        (&json!("ops@example.org"), &json!("cli"))
    );
    assert_eq!(told["sync"]["compared_with"]["snapshots"], json!([]), "the first time all of it is new");
    assert_eq!(told["sync"]["differences"].as_array().unwrap().len(), 4);
    assert_eq!((&told["next"]["step"], &told["next"]["attempt"]), (&json!("not_queued_yet"), &json!(1)));
    assert_eq!(explained(&world, &sync)["sync"]["sync_id"], sync.as_str(), "before the audit shows it");

    caught_up(&world);
    for id in [listing.as_str(), sync.as_str(), "51600", "villa-1"] {
        let told = explained(&world, id);
        assert_eq!((&told["listing"]["listing_id"], &told["sync"]["sync_id"]), (&json!(listing), &json!(sync)), "{id}");
        assert_eq!(told["next"]["step"], "waits_for_slot", "{told}");
    }
    let people = world.run(&["explain", "51600"]).ok().stdout;
    for words in ["by ops@example.org (cli), because the unit was linked", "all ", "Next: attempt 1 of sync "] {
        assert!(people.contains(words), "{words}: {people}");
    }
    assert_eq!(
        json!(people.lines().collect::<Vec<_>>()),
        explained(&world, &listing)["words"],
        "two renderings of one thing"
    );

    // The sentences have one full stop, and not that of whoever gave the reason as well.
    world.run(&["target", "pause", &target, "--reason", "the owner is on holiday."]).ok();
    caught_up(&world);
    let next = explained(&world, &listing)["next"].clone();
    assert_eq!(next["step"], "held");
    assert_eq!(next["because"], json!(["the target is paused by tester: the owner is on holiday"]));
    for command in [&["explain"][..], &["listing", "preview"]] {
        let people = world.run(&[command, &[&listing]].concat()).ok().stdout;
        assert!(people.contains("on holiday.\n"), "{command:?}: {people}");
    }
}

#[test]
fn of_several_the_listings_are_listed_and_of_none_it_is_said_what_may_be_given() {
    let world = World::new();
    world.keep(unit("villa-1", 1));
    for name in ["Bali", "Java"] {
        world.link(&world.target(name), "villa-1");
    }
    caught_up(&world);
    let listed = explained(&world, "villa-1");
    let targets: Vec<_> = listed["listings"].as_array().unwrap().iter().map(|one| one["target_name"].clone()).collect();
    assert_eq!(targets, [json!("Bali"), json!("Java")]);
    assert!(world.run(&["explain", "villa-1"]).ok().stdout.contains("villa-1 is several listings"));
    for unknown in ["villa-2", "01990000-0000-7000-8000-000000000001"] {
        let ran = world.json(&["explain", unknown]);
        let said = ran.error_message();
        let wanted = format!(
            "nothing is called {unknown:?}: give a listing, a sync, the id of a listing at its channel, or a unit"
        );
        assert_eq!((ran.code, said.starts_with(&wanted)), (1, true), "{said}");
    }
}

#[test]
fn a_sync_that_another_took_the_place_of_says_so_and_so_does_the_other() {
    let world = World::new();
    world.keep(priced("villa-1", 1, 4000));
    let listing = world.link(&world.target("Bali"), "villa-1");
    let first = explained(&world, &listing)["sync"]["sync_id"].clone();
    let second =
        world.json(&["listing", "sync", &listing, "--reason", "edited by hand"]).ok().json()["sync_id"].clone();
    let told = explained(&world, first.as_str().unwrap());
    assert_eq!(told["sync"]["outcome"], "superseded");
    let coalesced = json!({ "rule": "coalesced_into", "sync_id": second, "attempted": false, "goes_on": false,
        "may_have_been_sent": false });
    assert_eq!(told["rules"], json!([coalesced]));
    let words = told["words"].to_string();
    assert!(words.contains("It was for revision 1 of the unit") && words.contains("before it was sent"), "{words}");
    assert_eq!(told["next"]["sync_id"], second);
    let told = explained(&world, &listing);
    assert_eq!((&told["sync"]["sync_id"], &told["sync"]["reason"]), (&second, &json!("edited by hand")));
    assert_eq!(told["rules"], json!([{ "rule": "forced" }, { "rule": "took_place_of", "sync_id": first }]));
    let recent: Vec<_> = told["recent"].as_array().unwrap().iter().map(|one| one["sync_id"].clone()).collect();
    assert_eq!(recent, [second, first]);
}

#[test]
fn a_sync_that_was_cancelled_says_when_why_and_by_whom_and_is_the_last_one_of_its_listing() {
    let world = World::new();
    world.keep(unit("villa-1", 1));
    for (kind, what, why, words) in [
        ("listing", "unlink", "listing_unlinked", "unlinked its listing: sold."),
        ("target", "delete", "target_deleted", "deleted its target: sold."),
    ] {
        let target = world.target(kind);
        let listing = world.link(&target, "villa-1");
        let waited = explained(&world, &listing)["sync"]["sync_id"].clone();
        let id = if kind == "listing" { &listing } else { &target };
        world.run(&["--as", "ops@example.org", kind, what, id, "--reason", "sold"]).ok();
        caught_up(&world);
        let told = explained(&world, &listing);
        let sync = &told["sync"];
        let cancelled = json!({ "because": why, "by": "ops@example.org" });
        assert_eq!((&sync["sync_id"], &sync["outcome"]), (&waited, &json!("cancelled")), "{told}");
        assert_eq!((&sync["cancelled"], sync["ended_at"].is_string()), (&cancelled, true), "{told}");
        let people = world.run(&["explain", &listing]).ok().stdout;
        let ended = people.lines().find(|line| line.starts_with("It ended ")).unwrap_or_default();
        assert!(ended.ends_with(&format!("Z: cancelled, as ops@example.org {words}")), "{people}");
        let shown = world.json(&["listing", "show", &listing]).ok().json();
        let last = (&shown["last_sync_id"], &shown["last_outcome"], &shown["last_detail"]);
        assert_eq!(last, (&waited, &json!("cancelled"), &json!("sold")), "{shown}");
        let history = world.json(&["listing", "history", &listing]).ok().json();
        let ended = if kind == "listing" { "ListingUnlinked" } else { "TargetDeleted" };
        let told = (history[2]["event_type"].as_str(), history.as_array().unwrap().len());
        assert_eq!(told, (Some(ended), 3), "{history}");
        let people = world.run(&["listing", "history", &listing, "-n", "1"]).ok().stdout;
        let line = people.lines().find(|line| line.contains(ended)).unwrap_or_default();
        let cancelled = format!("sync {} is cancelled: sold", waited.as_str().unwrap());
        assert!(line.contains("ops@example.org") && line.contains(&cancelled), "{people}");
    }
}

#[test]
fn a_preview_tells_what_would_be_sent_and_leaves_no_trace() {
    let world = World::new();
    let first = world.keep(priced("villa-1", 1, 4000));
    let listing = world.link(&world.target("Bali"), "villa-1");
    world.keep(priced("villa-1", 2, 5500));
    let before = events(&world);
    let preview = |more: &[&str]| world.json(&[&["listing", "preview", listing.as_str()][..], more].concat());
    let now = preview(&[]).ok().json();
    assert_eq!((&now["revision"], &now["forced"], &now["creates"]), (&json!(2), &json!(false), &json!(true)));
    assert_eq!(now["sections"], json!(["availability", "rates", "content", "images"]));
    // A look-up, the creation, the nights and their read-back.
    assert_eq!(now["calls_at_least"], 4);
    let history = world.json(&["listing", "history", &listing]).ok().json();
    let sync = history[1]["payload"]["SyncRequested"]["request"]["sync_id"].as_str().unwrap().to_owned();
    let (at, position) = (history[1]["recorded_at"].as_str().unwrap().to_owned(), history[1]["position"].to_string());
    for point in [["--snapshot", &first], ["--sync-id", &sync], ["--position", &position], ["--as-of", &at]] {
        let past = preview(&point).ok().json();
        assert_eq!((&past["revision"], &past["forced"]), (&json!(1), &json!(true)), "{point:?}");
    }
    assert_eq!(preview(&["--force"]).ok().json()["revision"], 2);
    let people = world.run(&["listing", "preview", &listing]).ok().stdout;
    assert!(people.contains("Revision 2") && people.contains("in at least 4 calls"), "{people}");

    // Nothing in a unit's texts is obeyed by a terminal; machines get them as they are.
    let mut turned = priced("villa-1", 3, 5500);
    turned["unit"]["name"]["en"] = "Villa \u{9b}2J\u{202e}illaV".into();
    world.keep(turned);
    let people = world.run(&["listing", "preview", &listing]).ok().stdout;
    assert!(people.contains("Villa 2JillaV") && !people.contains(['\u{9b}', '\u{202e}']), "{people}");
    assert!(preview(&[]).ok().stdout.contains('\u{202e}'));

    let other = world.keep(unit("villa-2", 1));
    let refused = preview(&["--snapshot", &other]);
    assert_eq!((refused.code, refused.error_message().contains("shows unit villa-2")), (1, true), "{refused:?}");
    assert_eq!(preview(&["--snapshot", &first, "--position", "3"]).code, 2);
    assert_eq!(events(&world), before, "nothing was written");
    let drift = world.json(&["listing", "drift", &listing]);
    assert_eq!((drift.code, drift.error_message().contains("not at the channel yet")), (1, true), "{drift:?}");
}
