//! Bad input: each refusal names the field or the thing, says what would be right, and changes nothing.

use crate::world::{NOWHERE, World, unit};

fn create<'a>(limit: &'a str, secret: &'a str, url: &'a str) -> Vec<&'a str> {
    let who = ["target", "create", "--org", "sunstay", "--account", "bali", "--name", "Bali"];
    let what = ["--base-url", url, "--channel-account", "10450", "--secret-ref", secret, "--rate-limit", limit];
    [&who[..], &what[..]].concat()
}

#[test]
fn a_limit_of_zero_is_refused_by_name() {
    let world = World::new();
    let ran = world.json(&create("0/10s", "file:hostaway", NOWHERE));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(ran.error()["field"], "rate_limit");
    assert!(ran.error_message().contains("0 requests; use 1 to 10000 (to stop a target, pause it)"), "{ran:?}");
    let target = world.target("Bali");
    let ran = world.json(&["target", "rate-limit", &target, "0/10s"]);
    assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("rate_limit")), "{ran:?}");
}

#[test]
fn a_secret_in_place_of_its_reference_is_refused_and_never_shown() {
    let world = World::new();
    let secret = "sk_live_7f3a9c";
    let target = world.target("Bali");
    for arguments in
        [&create("12/10s", secret, NOWHERE)[..], &["target", "rotate-credential", &target, "--secret-ref", secret]]
    {
        for ran in [world.json(arguments), world.run(arguments)] {
            assert_eq!(ran.code, 2, "{ran:?}");
            assert!(ran.stderr.contains("store:NAME, aws:NAME, file:NAME or env:NAME"), "{ran:?}");
            assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret), "{ran:?}");
        }
        assert_eq!(world.json(arguments).error()["field"], "secret_ref");
    }
}

#[test]
fn a_secret_that_is_not_in_place_is_a_warning_that_names_the_file() {
    let world = World::new();
    let made = world.run(&create("12/10s", "file:hostaway", NOWHERE)).ok();
    let path = world.secrets.path().join("hostaway").display().to_string();
    assert!(made.stderr.starts_with("warning: secret file:hostaway: ") && made.stderr.contains(&path), "{made:?}");
    let target = made.stdout.trim();
    world.secret("second", 0o644);
    let rotate = ["target", "rotate-credential", target, "--secret-ref", "file:second"];
    let open = world.json(&rotate).ok();
    assert!(open.stderr.contains("chmod 600") && open.json()["changed"] == true, "{open:?}");
    world.secret("third", 0o600);
    let rotate = ["target", "rotate-credential", target, "--secret-ref", "file:third"];
    assert_eq!(world.run(&rotate).ok().stderr, "");
    assert_eq!(world.run(&create("12/10s", "env:HOSTAWAY", NOWHERE)).ok().stderr, "");
}

#[test]
fn what_the_domain_refuses_carries_its_field() {
    let world = World::new();
    let ran = world.json(&create("12/10s", "file:hostaway", "ftp://example.org"));
    assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("base_url")), "{ran:?}");
    let target = world.target("Bali");
    let ran = world.json(&["target", "configure", &target, "--name", ""]);
    assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("name")), "{ran:?}");
    let ran = world.json(&["target", "configure", &target]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = world.json(&["target", "pause", &target, "--reason", "  "]);
    assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("reason")), "{ran:?}");
    // Nobody would see what these do to a line.
    for unseen in ['\u{202e}', '\u{200b}', '\u{2028}'] {
        let words = format!("a{unseen}b");
        for (arguments, field) in [
            (["target", "configure", target.as_str(), "--name", words.as_str()], "name"),
            (["target", "pause", target.as_str(), "--reason", words.as_str()], "reason"),
            (["--as", words.as_str(), "target", "show", target.as_str()], "as"),
        ] {
            let ran = world.json(&arguments);
            assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some(field)), "{ran:?}");
        }
    }
}

#[test]
fn what_is_asked_of_a_target_that_never_was_is_refused() {
    let world = World::new();
    let nobody = "0199aaaa-0000-7000-8000-000000000000";
    for asked in [["listing", "list", "--target", nobody].as_slice(), &["queue", "--target", nobody]] {
        let ran = world.json(asked);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.error_message().contains(nobody), "{ran:?}");
    }
}

#[test]
fn a_value_without_a_place_is_no_field() {
    let ran = World::new().json(&["unit", "show", "--org", "tvl", "villa-001"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.error().get("field").is_none() && ran.error_message().contains("villa-001"), "{ran:?}");
}

#[test]
fn a_deleted_target_takes_nothing_any_more() {
    let world = World::new();
    world.keep(unit("villa-1", 1));
    let target = world.target("Bali");
    let listing = world.link(&target, "villa-1");
    world.run(&["target", "delete", &target, "--reason", "moved"]).ok();
    let ran = world.json(&["listing", "sync", &listing, "--reason", "x"]);
    let message = format!("listing {listing}: its target is deleted: link the unit to another one");
    assert_eq!((ran.code, ran.error_message()), (1, message));
    let deleted = format!("target {target}: this target is deleted; create a new one");
    for arguments in [
        &["listing", "link", "--target", &target, "--unit", "villa-1"][..],
        &["listing", "link", "--target", &target, "--all-units"],
        &["target", "pause", &target, "--reason", "x"],
    ] {
        let ran = world.json(arguments);
        assert_eq!((ran.code, ran.error_message()), (1, deleted.clone()), "{arguments:?}");
    }
    let again = world.json(&["target", "delete", &target, "--reason", "again"]);
    let message = format!("target {target}: this target is deleted already; nothing is left to do");
    assert_eq!((again.code, again.error_message()), (1, message));
    let shown = world.json(&["target", "show", &target]).ok().json();
    assert_eq!(shown["lifecycle"], "deleted");
}

#[test]
fn a_second_link_is_refused_unless_all_units_are_meant() {
    let world = World::new();
    world.keep(unit("villa-1", 1));
    world.keep(unit("villa-2", 1));
    let target = world.target("Bali");
    let listing = world.link(&target, "villa-1");
    let ran = world.json(&["listing", "link", "--target", &target, "--unit", "villa-1", "--unit", "villa-2"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let answers = ran.json();
    assert_eq!(answers[0]["status"], "failed");
    assert_eq!(answers[0]["listing_id"], listing.as_str());
    assert_eq!(answers[0]["error"], "this unit is linked to this target already");
    assert_eq!((answers[1]["status"].as_str(), answers[1]["sync_requested"].as_bool()), (Some("linked"), Some(true)));
    let all = world.json(&["listing", "link", "--target", &target, "--all-units"]).ok().json();
    let statuses: Vec<_> = all.as_array().unwrap().iter().map(|answer| answer["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["already_linked", "already_linked"]);
    let both = ["--unit", "villa-1", "--unit", "villa-2", "--external-id", "51600"];
    let ran = world.json(&[&["listing", "link", "--target", &target][..], &both[..]].concat());
    assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("external_id")), "{ran:?}");
}

#[test]
fn what_does_not_exist_is_named() {
    let world = World::new();
    let id = "01990000-0000-7000-8000-000000000001";
    for (arguments, message) in [
        (&["target", "show", id][..], format!("target {id}: there is no such target")),
        (&["target", "health", id], format!("target {id}: there is no such target")),
        (&["listing", "show", id], format!("listing {id}: there is no such listing")),
        (&["listing", "history", id], format!("listing {id}: there is no such listing")),
        (&["listing", "sync", id, "--reason", "x"], format!("listing {id}: there is no such listing")),
        (&["listing", "pause", id], format!("listing {id}: there is no such listing")),
        (&["audit", "show", id], format!("the audit has no sync {id} (yet)")),
        (&["unit", "show", "--org", "a", "--unit", "b"], "unit b of a was never published".to_owned()),
    ] {
        let ran = world.json(arguments);
        assert_eq!((ran.code, ran.error_message()), (1, message), "{arguments:?}");
    }
}
