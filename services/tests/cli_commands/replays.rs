//! `listing sync` and `listing replay`: which snapshot is sent, and which one is refused.

use serde_json::Value;

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
    let ran = story.replay(&["--position", "1"]);
    assert_eq!((ran.code, ran.error_message().contains("no snapshot by position 1")), (1, true), "{ran:?}");
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
