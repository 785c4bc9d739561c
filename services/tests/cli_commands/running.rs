//! Commands that read what a running service makes: read models, audit, dead letters, and the doctor's view of it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::service::{Service, eventually};
use crate::world::{NOWHERE, World, unit};

/// Writes changes to a file and publishes it.
fn publish(world: &World, bodies: &[Value], more: &[&str]) {
    let file = world.secrets.path().join("changes.ndjson");
    let lines: Vec<String> = bodies.iter().map(ToString::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let ran = world.run(&[&["unit", "publish", file.to_str().unwrap()][..], more].concat());
    assert!(ran.code <= 1, "{ran:?}");
}

fn caught_up(world: &World) {
    eventually("the read models followed", || {
        let lags = world.json(&["projections", "list"]).ok().json();
        lags.as_array().unwrap().iter().all(|lag| lag["behind_events"] == 0).then_some(())
    });
}

#[test]
fn a_change_is_followed_from_the_file_to_the_queue_and_the_audit() {
    let world = World::new();
    let target = world.target("Bali");
    let _service = Service::start(&world, "intake,relay,projector");
    publish(&world, &[unit("villa-1", 1), unit("villa-2", 1)], &["--wait", "30"]);
    world.json(&["listing", "link", "--target", &target, "--all-units"]).ok();
    caught_up(&world);

    let listed = world.json(&["target", "list", "--org", "sunstay"]).ok().json();
    let counts = json!({ "active": 2, "paused": 0, "target_deleted": 0, "unlinked": 0 });
    assert_eq!((&listed[0]["listings"], &listed[0]["queue"]["waiting"]), (&counts, &json!(2)));
    assert_eq!(listed[0]["created_by"], "tester");
    let listings = world.json(&["listing", "list", "--unit", "villa-1", "--target", &target]).ok().json();
    assert_eq!((listings[0]["state"].as_str(), listings[0]["revision"].as_u64()), (Some("active"), Some(1)));
    let queue = world.json(&["queue", "--target", &target]).ok().json();
    assert_eq!((&queue["targets"][0]["waiting"], &queue["targets"][0]["due"]), (&json!(2), &json!(2)));
    assert_eq!(queue["work"][0]["status"], "due");
    assert_eq!(world.json(&["unit", "stats"]).ok().json()[0]["outcome"], "unlinked");

    let audit = world.json(&["audit", "tail", "--listing", listings[0]["listing_id"].as_str().unwrap()]).ok();
    let sync: Value = serde_json::from_str(audit.stdout.trim()).expect("one line, one sync");
    assert_eq!((sync["outcome"].as_str(), sync["cause"].as_str()), (Some("pending"), Some("linked")));
    let shown = world.json(&["audit", "show", sync["sync_id"].as_str().unwrap()]).ok().json();
    assert_eq!((&shown["sync_id"], &shown["attempts_made"]), (&sync["sync_id"], &json!([])));

    for name in ["channel_targets", "channel_listings", "outbound_audit", "target_health", "sync_queue"] {
        let verified = world.json(&["projections", "verify", name]).ok().json();
        assert_eq!(verified["equal"], true, "{verified}");
    }
    let rebuilt = world.json(&["projections", "rebuild", "outbound_audit"]).ok().json();
    assert_eq!(rebuilt["events"], 5);
    let coverage = world.json(&["projections", "coverage"]).ok().json();
    assert_eq!((&coverage["jobs"], &coverage["missing"]), (&json!(2), &json!(0)));
}

#[test]
fn what_is_held_waits_and_is_not_due() {
    let world = World::new();
    let target = world.target("Bali");
    let _service = Service::start(&world, "relay,projector");
    let mut listings = Vec::new();
    for name in ["villa-1", "villa-2"] {
        world.keep(unit(name, 1));
        listings.push(world.link(&target, name));
    }
    let are_due = |due: usize| {
        caught_up(&world);
        let queue = world.json(&["queue"]).ok().json();
        let listed = world.json(&["target", "list"]).ok().json();
        let shown = world.json(&["target", "show", &target]).ok().json();
        for told in [&queue["targets"][0], &listed[0]["queue"], &shown["queue"]] {
            assert_eq!((&told["waiting"], &told["due"]), (&json!(2), &json!(due)), "{told}");
        }
        let is_due = |work: &&Value| work["status"] == "due";
        assert_eq!(queue["work"].as_array().unwrap().iter().filter(is_due).count(), due, "{queue}");
    };
    are_due(2);
    world.run(&["listing", "pause", &listings[0], "--reason", "a test"]).ok();
    are_due(1);
    world.run(&["target", "pause", &target, "--reason", "a test"]).ok();
    are_due(0);
    world.run(&["target", "resume", &target]).ok();
    are_due(1);
    let opened = format!("INSERT INTO dispatch_circuits (target_id, failures, opened) VALUES ('{target}', 5, 1)");
    execute(&world, &opened);
    are_due(0);
}

/// What a list says of a thing is what showing it says, under the same names.
fn same_shape(listed: &Value, shown: &Value) {
    for (field, value) in listed.as_object().unwrap() {
        assert_eq!(shown.get(field), Some(value), "{field}: {shown}");
    }
}

#[test]
fn a_list_and_a_show_have_one_shape_also_when_the_target_is_deleted() {
    let world = World::new();
    world.keep(unit("villa-1", 1));
    let target = world.target_of("sunstay", "Bali", &["--account-rate-limit", "200/10s"]);
    let _service = Service::start(&world, "relay,projector");
    let listing = world.link(&target, "villa-1");
    let one = |arguments: &[&str]| world.json(arguments).ok().json();
    let check = || {
        caught_up(&world);
        same_shape(&one(&["target", "list", "--deleted"])[0], &one(&["target", "show", &target]));
        same_shape(&one(&["listing", "list"])[0], &one(&["listing", "show", &listing]));
    };
    check();
    assert_eq!(one(&["target", "list"])[0]["rate_limit"], json!({ "requests": 12, "window_ms": 10_000 }));

    world.run(&["target", "delete", &target, "--reason", "moved"]).ok();
    check();
    let shown = one(&["listing", "show", &listing]);
    assert_eq!((&shown["state"], &shown["pending"]), (&json!("target_deleted"), &Value::Null));
    assert_eq!(one(&["listing", "list", "--state", "active"]), json!([]));
    assert_eq!(one(&["listing", "list", "--state", "target_deleted"])[0]["listing_id"], listing.as_str());
    assert_eq!(one(&["unit", "list", "--org", "sunstay"])[0]["listings"], 0);
    for arguments in [&["listing", "list"][..], &["listing", "show", &listing]] {
        let people = world.run(arguments).ok().stdout;
        assert!(people.contains("target deleted"), "{people}");
    }
    let people = world.run(&["target", "show", &target]).ok().stdout;
    assert!(people.contains("1 left behind by the deletion, 0 active"), "{people}");
}

#[test]
fn a_tail_that_follows_shows_each_change_and_ends_well_on_ctrl_c() {
    let world = World::new();
    let target = world.target("Bali");
    let _service = Service::start(&world, "intake,relay,projector");
    publish(&world, &[unit("villa-1", 1)], &["--wait", "30"]);
    caught_up(&world);
    let arguments = ["--output", "json", "audit", "tail", "-n", "0", "--follow", "--target", &target];
    let mut tail = world.command().args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };

    let listing = world.link(&target, "villa-1");
    let first = next();
    assert_eq!((first["listing_id"].as_str(), first["outcome"].as_str()), (Some(listing.as_str()), Some("pending")));
    world.run(&["listing", "sync", &listing, "--reason", "again"]).ok();
    let (superseded, second) = (next(), next());
    let outcomes = [&superseded, &second].map(|sync| sync["outcome"].as_str().unwrap());
    assert!(outcomes.contains(&"superseded") && outcomes.contains(&"pending"), "{outcomes:?}");
    world.run(&["target", "delete", &target, "--reason", "gone"]).ok();
    assert_eq!(next()["outcome"], "cancelled");

    let interrupted = Command::new("kill").args(["-INT", &tail.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(tail.wait().unwrap().code(), Some(0));
}

#[test]
fn dead_letters_are_read_sent_again_and_thrown_away() {
    let world = World::new();
    let _service = Service::start(&world, "intake");
    let mut stay = unit("villa-1", 1);
    stay["guestName"] = "Jane Doe".into();
    stay["contact"] = json!({ "email": "jane.doe@example.com", "phone": "+62 812 3456 7890" });
    publish(&world, &[stay.clone(), unit("villa-2", 1)], &[]);
    let letters = eventually("the letters arrived", || {
        let letters = world.json(&["dead-letters", "list"]);
        (letters.code == 0 && letters.json().as_array().unwrap().len() == 2).then(|| letters.json())
    });
    let number = letters[0]["number"].to_string();
    assert_eq!(letters[0]["problems"][0]["field"], "org_id");
    let shown = world.json(&["dead-letters", "show", &number]).ok().json();
    stay["guestName"] = "•••".into();
    stay["contact"] = json!({ "email": "•••", "phone": "•••" });
    assert_eq!(serde_json::from_str::<Value>(shown["body"].as_str().unwrap()).unwrap(), stay);
    for told in [letters.to_string(), world.run(&["dead-letters", "show", &number]).ok().stdout] {
        assert!(["Jane", "jane.doe", "812 3456"].iter().all(|guest| !told.contains(guest)), "{told}");
    }

    let discarded = world.json(&["dead-letters", "discard", &number, "9999"]);
    assert_eq!(discarded.code, 1, "{discarded:?}");
    assert_eq!((&discarded.json()[0]["done"], &discarded.json()[1]["done"]), (&json!(true), &json!(false)));
    assert_eq!(discarded.json()[1]["error"], "there is no dead letter 9999");

    let unsure = world.json(&["dead-letters", "discard", "--all"]);
    assert_eq!((unsure.code, unsure.error_message().contains("--yes")), (2, true), "{unsure:?}");
    publish(&world, &[unit("villa-3", 1), unit("villa-4", 1)], &[]);
    let left = eventually("two more arrived", || {
        let letters = world.json(&["dead-letters", "list"]).ok().json();
        (letters.as_array().unwrap().len() == 3).then_some(letters)
    });
    let last = left[2]["number"].to_string();
    world.run(&["dead-letters", "discard", &last]).ok();

    world.target("Bali");
    world.run(&["dead-letters", "replay", "--all"]).ok();
    eventually("the unit was taken", || {
        let units = world.json(&["unit", "list", "--org", "sunstay"]).ok().json();
        (units[0]["unit_id"] == "villa-2" && units[1]["unit_id"] == "villa-3").then_some(())
    });
    assert_eq!(world.json(&["dead-letters", "list"]).ok().json(), json!([]));

    let mut nobodys = unit("villa-5", 1);
    nobodys["org_id"] = "nobody".into();
    publish(&world, &[nobodys], &[]);
    eventually("a letter arrived", || {
        let letters = world.json(&["dead-letters", "list"]).ok().json();
        (letters != json!([])).then_some(())
    });
    let discarded = world.json(&["dead-letters", "discard", "--all", "--yes"]).ok().json();
    assert_eq!((discarded.as_array().unwrap().len(), &discarded[0]["done"]), (1, &json!(true)));
    assert_eq!(world.json(&["dead-letters", "list"]).ok().json(), json!([]));
    assert_eq!(world.json(&["dead-letters", "discard", "--all", "--yes"]).ok().json(), json!([]));
}

#[test]
fn doctor_sees_secrets_that_are_missing_or_open_to_others() {
    let world = World::new();
    world.target("Bali");
    let _service = Service::start(&world, "intake,relay,projector");
    let secrets = || {
        let ran = world.json(&["doctor"]);
        let report = ran.json();
        let checks = report["checks"].as_array().unwrap().clone();
        (ran.code, checks.into_iter().find(|check| check["check"] == "secrets"))
    };
    let (code, missing) = eventually("the target was seen", || {
        let (code, check) = secrets();
        Some((code, check.filter(|check| check["status"] == "fail")?))
    });
    assert_eq!(code, 1);
    assert!(missing["detail"].as_str().unwrap().contains("there is no file"), "{missing}");
    world.secret("hostaway", 0o644);
    let (_, open) = secrets();
    let detail = open.unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("mode 0644") && detail.contains("chmod 600") && !detail.contains("s3cret"), "{detail}");
    world.secret("hostaway", 0o600);
    eventually("everything is well", || {
        let ran = world.json(&["doctor"]);
        (ran.code == 0 && ran.json()["ok"] == true).then_some(())
    });
}

fn execute(world: &World, statement: &str) {
    world.block_on(async {
        let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
        connection.execute(statement).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// A 429 pauses an account or an address, never a target alone: who looks at the queue sees it, and no dispatcher is missed.
#[test]
fn a_pause_by_the_channel_is_seen_in_the_queue_and_by_the_doctor() {
    let world = World::new();
    let target = world.target("Bali");
    world.keep(unit("villa-1", 1));
    world.link(&target, "villa-1");
    let _service = Service::start(&world, "relay,projector");
    caught_up(&world);
    execute(&world, "UPDATE sync_queue SET due_at = now() - interval '1 minute'");
    let doctor = || {
        let report = world.json(&["doctor"]).json();
        let queue =
            report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "queue").cloned().unwrap();
        (queue["status"].as_str().unwrap().to_owned(), queue["detail"].as_str().unwrap().to_owned())
    };
    assert_eq!(doctor().0, "warn", "nobody takes what is due");
    assert!(world.json(&["queue"]).ok().json()["work"][0]["paused_scope"].is_null());
    for (word, scope) in
        [("account", format!("account:hostaway/{NOWHERE}/10450")), ("egress", "egress:here".to_owned())]
    {
        let until = "now() + interval '1 hour'";
        execute(&world, &format!("INSERT INTO rate_scopes (scope, paused_until) VALUES ('{scope}', {until})"));
        let queue = world.json(&["queue"]).ok().json();
        assert_eq!(queue["work"][0]["status"], "paused by the channel");
        for row in [&queue["targets"][0], &queue["work"][0]] {
            assert_eq!((&row["paused_scope"], row["paused_until"].is_string()), (&json!(word), true), "{row}");
        }
        let people = world.run(&["queue"]).ok().stdout;
        assert!(people.contains(&format!("{word} paused by the channel until ")), "{people}");
        assert!(people.contains("59m ") && !people.contains("held"), "it is due when the pause ends: {people}");
        let (status, detail) = doctor();
        assert_eq!(status, "ok", "{detail}");
        assert!(detail.contains("1 target paused by the channel until "), "{detail}");
        let listed = &world.json(&["target", "list"]).ok().json()[0];
        assert_eq!((&listed["paused_scope"], listed["paused_until"].is_string()), (&json!(word), true), "{listed}");
        for arguments in [&["target", "list"][..], &["target", "show", &target]] {
            let people = world.run(arguments).ok().stdout;
            let named = people.to_lowercase().contains("paused by the channel");
            assert!(named && people.contains(&format!("{word} until ")), "{people}");
        }
        // What got the 429 is put off until the pause ends, and waits for the same as all others.
        for (due, status) in
            [("paused_until", "paused by the channel"), ("paused_until + interval '1 minute'", "later")]
        {
            let of = format!("SELECT {due} FROM rate_scopes WHERE scope = '{scope}'");
            execute(&world, &format!("UPDATE sync_queue SET due_at = ({of})"));
            assert_eq!(world.json(&["queue"]).ok().json()["work"][0]["status"], status, "{scope}");
        }
        execute(&world, "UPDATE sync_queue SET due_at = now() - interval '1 minute'");
        execute(&world, &format!("DELETE FROM rate_scopes WHERE scope = '{scope}'"));
    }
    assert!(world.json(&["target", "list"]).ok().json()[0]["paused_until"].is_null());
    world.run(&["target", "pause", &target, "--reason", "works on the roof"]).ok();
    eventually("what waits is held", || {
        let people = world.run(&["queue"]).ok().stdout;
        (people.contains("target paused") && people.contains("held")).then_some(())
    });
}

/// Of a database that was put back a lease may call a job done that the journal has not: it waits for the end of that, and for nothing
/// else.
#[test]
fn what_is_done_and_still_in_the_queue_is_told_with_the_time_at_which_it_is_taken_up_again() {
    let world = World::new();
    world.keep(unit("villa-1", 1));
    let listing = world.link(&world.target("Bali"), "villa-1");
    let _service = Service::start(&world, "relay,projector");
    caught_up(&world);
    execute(&world, "UPDATE sync_queue SET due_at = now() - interval '1 minute'");
    let told = || {
        let because = world.json(&["explain", &listing]).ok().json()["next"]["because"].to_string();
        let report = world.json(&["doctor"]).json();
        let queue =
            report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "queue").cloned().unwrap();
        (because, queue["status"].as_str().unwrap().to_owned(), queue["detail"].as_str().unwrap().to_owned())
    };
    let at_once = "nothing but a dispatcher is waited for";
    let (because, status, _) = told();
    assert!(because.contains(at_once) && status == "warn", "{because}");
    execute(
        &world,
        "INSERT INTO dispatch_leases (listing_id, holder, ordinal, tries, lease_until, done)
         SELECT listing_id, gen_random_uuid(), ordinal, tries, now() + interval '1 minute', true FROM sync_queue",
    );
    let (because, status, detail) = told();
    assert!(because.contains("it is taken up again 2") && !because.contains(at_once), "{because}");
    assert!(status == "ok" && detail.contains("1 sync job told as done and still in the queue"), "{detail}");
    execute(&world, "UPDATE dispatch_leases SET ordinal = ordinal - 1");
    let (_, status, detail) = told();
    assert!(status == "warn" && detail.contains("1 sync job due that nobody takes"), "it is a newer one: {detail}");
    execute(&world, "UPDATE dispatch_leases SET ordinal = ordinal + 1, lease_until = now()");
    let (because, status, _) = told();
    assert!(because.contains(at_once) && status == "warn", "then nobody takes it: {because}");
}
