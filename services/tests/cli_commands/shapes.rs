//! What machines read: the fields of each JSON answer that needs no running service.

use serde_json::{Value, json};

use crate::world::{NOWHERE, World, unit};

fn fields(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_target_comes_whole() {
    let world = World::new();
    let who = ["target", "create", "--org", "sunstay", "--account", "bali", "--name", "Bali"];
    let what = ["--base-url", NOWHERE, "--channel-account", "10450", "--secret-ref", "env:HOSTAWAY"];
    let made = world.json(&[&who[..], &what, &["--account-rate-limit", "200/10s"]].concat()).ok().json();
    let id = made["target_id"].as_str().unwrap();
    let wanted = json!({
        "target_id": id, "org_id": "sunstay", "account_id": "bali", "name": "Bali", "channel": "hostaway",
        "base_url": NOWHERE, "channel_account": "10450", "credential": "env:HOSTAWAY",
        "rate_limit": { "requests": 12, "window_ms": 10_000 },
        "account_rate_limit": { "requests": 200, "window_ms": 10_000 },
        "lifecycle": "active", "health": "unknown", "credential_epoch": 0,
    });
    assert_eq!(made, wanted);
    let shown = world.json(&["target", "show", id]).ok().json();
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field}");
    }
    let queue = json!({ "waiting": 0, "due": 0, "under_way": 0, "oldest_requested_at": null, "behind_since": null });
    assert_eq!(shown["queue"], queue);
    assert_eq!(shown["windows"], json!([]));
    let text = world.run(&["target", "show", id]).ok().stdout;
    assert!(text.contains("limit          12/10s") && text.contains(id), "{text}");
}

#[test]
fn a_change_tells_whether_and_where_it_was_written() {
    let world = World::new();
    let target = world.target("Bali");
    let changed = world.json(&["target", "rate-limit", &target, "5/1s"]).ok().json();
    assert_eq!(changed, json!({ "target_id": target, "changed": true, "position": 2 }));
    let same = world.json(&["target", "rate-limit", &target, "5/1s"]).ok().json();
    assert_eq!(same, json!({ "target_id": target, "changed": false, "position": null }));
    for (verb, more) in [("pause", &["--reason", "holiday"][..]), ("resume", &[]), ("delete", &["--reason", "gone"])] {
        let changed = world.json(&[&["target", verb, &target][..], more].concat()).ok().json();
        assert_eq!(changed["changed"], true, "{verb}");
    }
    let none = world.json(&["target", "configure", &world.target("B"), "--account-rate-limit", "none"]).ok().json();
    assert_eq!(none["changed"], false, "it had no such limit");
}

#[test]
fn a_listing_and_its_history_come_whole() {
    let world = World::new();
    let snapshot = world.keep(unit("villa-1", 7));
    let target = world.target("Bali");
    let link = ["listing", "link", "--target", &target, "--unit", "villa-1", "--external-id", "51600"];
    let linked = world.json(&[&["--as", "ops@example.org"][..], &link].concat()).ok().json();
    assert_eq!(fields(&linked[0]), ["listing_id", "status", "sync_requested", "unit_id"]);
    let id = linked[0]["listing_id"].as_str().unwrap();
    let shown = world.json(&["listing", "show", id]).ok().json();
    assert_eq!((shown["unit_id"].as_str(), shown["external_id"].as_str()), (Some("villa-1"), Some("51600")));
    assert_eq!((shown["state"].as_str(), shown["last_revision"].as_u64()), (Some("active"), Some(7)));
    assert_eq!(shown["pending"]["snapshot"], snapshot.as_str());
    assert_eq!(shown["needs"], json!(["availability", "rates", "content", "images"]));
    let history = world.json(&["listing", "history", id]).ok().json();
    let types: Vec<_> = history.as_array().unwrap().iter().map(|event| event["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["ListingLinked", "SyncRequested"]);
    assert_eq!(history[0]["metadata"]["actor"], "ops@example.org");
    assert_eq!((&history[0]["created_by"], &history[0]["credential"]), (&json!("ops@example.org"), &json!("cli")));
    assert_eq!(history[0]["payload"]["ListingLinked"]["target_id"], target.as_str());
    let text = world.run(&["listing", "history", id, "-n", "1"]).ok().stdout;
    assert!(!text.contains("ListingLinked") && text.contains("linked, revision 7, needs availability+rates"), "{text}");
}

#[test]
fn empty_lists_are_empty_arrays_and_empty_pipes() {
    let world = World::new();
    for arguments in
        [&["target", "list"][..], &["listing", "list"], &["unit", "list", "--org", "a"], &["unit", "stats"]]
    {
        assert_eq!(world.json(arguments).ok().json(), json!([]), "{arguments:?}");
        let people = world.run(arguments).ok();
        assert_eq!((people.stdout.as_str(), people.stderr.is_empty()), ("", false), "{people:?}");
    }
    assert_eq!(world.json(&["queue"]).ok().json(), json!({ "targets": [], "work": [] }));
    assert_eq!(world.json(&["audit", "tail"]).ok().stdout, "");
    let coverage = world.json(&["projections", "coverage"]).ok().json();
    assert_eq!(coverage, json!({ "jobs": 0, "rows": 0, "missing": 0, "missing_sync_ids": [] }));
}

#[test]
fn a_unit_is_shown_by_revision() {
    let world = World::new();
    world.keep(unit("villa-1", 1));
    let snapshot = world.keep(unit("villa-1", 2));
    let show = ["unit", "show", "--org", "sunstay", "--unit", "villa-1"];
    let newest = world.json(&show).ok().json();
    assert_eq!((newest["revision"].as_u64(), newest["snapshot"].as_str()), (Some(2), Some(snapshot.as_str())));
    assert_eq!(newest["body"], unit("villa-1", 2));
    let first = world.json(&[&show[..], &["--revision", "1"]].concat()).ok().json();
    assert_eq!(first["body"]["revision"], 1);
    assert_eq!(world.json(&[&show[..], &["--revision", "3"]].concat()).code, 1);
    let list = world.json(&["unit", "list", "--org", "sunstay"]).ok().json();
    assert_eq!((list[0]["unit_id"].as_str(), list[0]["revision"].as_u64()), (Some("villa-1"), Some(2)));
}
