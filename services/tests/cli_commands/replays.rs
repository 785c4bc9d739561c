//! `listing sync` and `listing replay`: which snapshot is sent, and which one is refused.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};

use crate::world::{Ran, World, unit};

struct Story {
    world: World,
    listing: String,
    first: String,
}

/// A listing that was linked at revision 1.
fn story() -> Story {
    let world = World::new();
    let first = world.keep(unit("villa-1", 1));
    let target = world.target("Bali");
    let listing = world.link(&target, "villa-1");
    Story { world, listing, first }
}

impl Story {
    fn replay(&self, how: &[&str]) -> Ran {
        let head = ["listing", "replay", &self.listing, "--reason", "wrong prices"];
        self.world.json(&[&head[..], how].concat())
    }

    fn history(&self) -> Value {
        self.world.json(&["listing", "history", &self.listing]).ok().json()
    }
}

#[test]
fn a_snapshot_is_found_by_its_hash_by_its_sync_and_by_a_position() {
    let story = story();
    let second = story.world.keep(unit("villa-1", 2));
    let latest = story.world.json(&["listing", "sync", &story.listing, "--reason", "edited by hand"]).ok().json();
    assert_eq!(latest["snapshot"], second.as_str());
    let requested = story.history()[1].clone();
    assert_eq!(requested["event_type"], "SyncRequested");
    let sync = requested["payload"]["SyncRequested"]["request"]["sync_id"].as_str().unwrap().to_owned();
    let position = requested["position"].to_string();
    for how in [["--snapshot", &story.first], ["--sync-id", &sync], ["--position", &position]] {
        let replayed = story.replay(&how).ok().json();
        assert_eq!(replayed["snapshot"], story.first.as_str(), "{how:?}");
        let shown = story.world.json(&["listing", "show", &story.listing]).ok().json();
        assert_eq!(shown["pending"]["sync_id"], replayed["sync_id"]);
        assert_eq!(shown["pending"]["forced"], true);
    }
    let last = story.history().as_array().unwrap().last().unwrap().clone();
    let request = &last["payload"]["SyncRequested"]["request"];
    assert_eq!(
        (request["cause"]["kind"].as_str(), request["cause"]["reason"].as_str()),
        (Some("replayed"), Some("wrong prices"))
    );
    assert_eq!(
        (last["metadata"]["actor"].as_str(), last["metadata"]["credential"].as_str()),
        (Some("tester"), Some("cli"))
    );
}

#[test]
fn a_snapshot_that_is_not_the_listings_is_refused() {
    let story = story();
    let unknown = "0".repeat(64);
    let ran = story.replay(&["--snapshot", &unknown]);
    assert_eq!(ran.code, 1);
    assert!(ran.error_message().ends_with(&format!("there is no unit snapshot {unknown}")), "{ran:?}");

    let other_unit = story.world.keep(unit("villa-2", 1));
    let ran = story.replay(&["--snapshot", &other_unit]);
    assert_eq!(ran.code, 1);
    assert!(ran.error_message().contains("shows unit villa-2"), "{ran:?}");

    let mut foreign = unit("villa-1", 1);
    foreign["org_id"] = "another".into();
    let foreign = story.world.keep(foreign);
    let ran = story.replay(&["--snapshot", &foreign]);
    assert_eq!(ran.code, 1);
    assert!(ran.error_message().ends_with(&format!("there is no unit snapshot {foreign}")), "{ran:?}");

    assert_eq!(story.history().as_array().unwrap().len(), 2, "none of them left a trace");
}

#[test]
fn a_snapshot_is_named_in_one_way_and_must_be_there() {
    let story = story();
    assert_eq!(story.replay(&[]).code, 2);
    assert_eq!(story.replay(&["--position", "1", "--snapshot", &story.first]).code, 2);
    assert_eq!(story.replay(&["--snapshot", "abc"]).error()["field"], "snapshot");
    // The target, the link, the request: the history that a position can lie in begins and ends with the last one.
    for outside in ["1", "2", "4", "100000"] {
        let ran = story.replay(&["--position", outside]);
        let wanted = format!("position {outside} is outside the history of listing {}: use 3 to 3", story.listing);
        assert_eq!((ran.code, ran.error_message().starts_with(&wanted)), (1, true), "{ran:?}");
    }
    // A time that has not come yet would mean the newest snapshot, and quietly.
    for command in ["replay", "preview"] {
        let mut words = vec!["listing", command, &story.listing, "--as-of", "2999-01-01T00:00:00Z"];
        words.extend(["--reason", "wrong prices"].iter().filter(|_| command == "replay"));
        let ran = story.world.json(&words);
        let told = ran.error_message();
        assert_eq!(
            (ran.code, told.starts_with("--as-of must not be later than now, which is 2")),
            (1, true),
            "{ran:?}"
        );
    }
    let sync = "01990000-0000-7000-8000-000000000001";
    let ran = story.replay(&["--sync-id", sync]);
    assert_eq!((ran.code, ran.error_message().contains(&format!("has no sync {sync}"))), (1, true), "{ran:?}");
}

#[test]
fn an_unlinked_listing_is_linked_again_first() {
    let story = story();
    story.world.run(&["listing", "unlink", &story.listing, "--reason", "sold"]).ok();
    let ran = story.replay(&["--snapshot", &story.first]);
    assert_eq!(ran.code, 1);
    assert!(ran.error_message().contains("unlinked; link it again first"), "{ran:?}");
}

#[test]
fn the_latest_state_is_read_again_when_a_newer_one_came_in_between() {
    let story = story();
    let world = &story.world;
    let second = world.block_on(async {
        let mut other = PgConnection::connect(&world.database_url).await.unwrap();
        // The journal's fence: the command reads revision 1 and then waits with its event.
        other.execute("SELECT pg_advisory_lock(7163082334259211379)").await.unwrap();
        let sync = ["--output", "json", "listing", "sync", &story.listing, "--reason", "edited by hand"];
        let waiting = world.command().args(sync).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let blocked = "SELECT count(*) > 0 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
            WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database()";
        while !sqlx::query_scalar::<_, bool>(blocked).fetch_one(&mut other).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Meanwhile revision 2 is stored and asked for, as the intake does it.
        let second = world.keep_async(unit("villa-1", 2)).await;
        let asked = sqlx::query(NEXT_REVISION).bind(&story.listing).execute(&mut other).await.unwrap();
        assert_eq!(asked.rows_affected(), 1);
        other.close().await.unwrap();
        let ran: Ran = waiting.wait_with_output().unwrap().into();
        assert_eq!(ran.ok().json()["snapshot"], second.as_str());
        second
    });
    let history = story.history();
    let last = history.as_array().unwrap().last().unwrap();
    let request = &last["payload"]["SyncRequested"]["request"];
    assert_eq!((request["revision"].as_u64(), request["snapshot"].as_str()), (Some(2), Some(second.as_str())));
    assert_eq!((request["cause"]["kind"].as_str(), history.as_array().unwrap().len()), (Some("manual"), 4));
}

/// The listing's first request once more, for the next revision.
const NEXT_REVISION: &str = "
INSERT INTO events (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type, event_version,
    payload, metadata)
SELECT gen_random_uuid(), org_id, account_id, aggregate_type, aggregate_id, 3, event_type, event_version,
    jsonb_set(jsonb_set(jsonb_set(payload::jsonb, '{SyncRequested,request,revision}', '2'),
        '{SyncRequested,request,ordinal}', '2'), '{SyncRequested,request,sync_id}', to_jsonb(gen_random_uuid())),
    metadata
FROM events WHERE aggregate_id = $1 AND sequence = 2";
