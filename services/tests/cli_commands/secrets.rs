//! `secret`: values come from stdin or a file, are never shown, and go with the last target that uses them.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use adapters::secrets::EmbeddedStore;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::service::{Service, eventually};
use crate::world::{NOWHERE, Ran, World};

const MARK: &str = "marked-value-9c2d";

/// Runs with something on stdin; nothing that it says shows the value.
fn given(world: &World, value: &str, arguments: &[&str]) -> Ran {
    let mut command = world.command();
    command.args(["--output", "json"]).args(arguments).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A refusal may come before the value is read.
    let _ = child.stdin.take().unwrap().write_all(value.as_bytes());
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert!(!ran.stdout.contains(MARK) && !ran.stderr.contains(MARK), "{ran:?}");
    ran
}

fn target(world: &World, secret: &str) -> String {
    let who = ["target", "create", "--org", "sunstay", "--account", "bali", "--name", "Bali"];
    let what = ["--base-url", NOWHERE, "--channel-account", "10450", "--secret-ref", secret];
    let made = world.run(&[&who[..], &what[..]].concat()).ok();
    assert_eq!(made.stderr, "", "it is in place");
    made.stdout.trim().to_owned()
}

#[test]
fn a_secret_is_put_listed_rotated_and_deleted_without_its_value_being_shown() {
    let world = World::empty();
    assert_eq!(world.json(&["secret", "list"]).ok().json(), json!([]));
    let put = given(&world, &format!("{MARK}\n"), &["secret", "put", "hostaway"]).ok().json();
    let created = json!({ "secret_ref": "store:hostaway", "done": "created", "targets": null });
    assert_eq!(put, created, "there is no schema, so no target");
    let again = given(&world, MARK, &["secret", "put", "store:hostaway"]);
    assert!(again.code == 1 && again.error_message().contains("exists already"), "{again:?}");

    let file = world.secrets.path().join("new.txt");
    std::fs::write(&file, format!("{MARK}-2")).unwrap();
    let rotated = given(&world, "", &["secret", "rotate", "hostaway", "--from-file", file.to_str().unwrap()]).ok();
    assert_eq!(rotated.json()["done"], "rotated");
    let listed = world.json(&["secret", "list"]).ok().json();
    let fields: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["created_at", "previous_until", "rotated_at", "secret_ref", "standing"]);
    assert!(listed[0]["previous_until"].is_string() && listed[0]["standing"] == "settled", "{listed}");
    let people = world.run(&["secret", "list"]).ok().stdout;
    assert!(people.contains("store:hostaway") && !people.contains(MARK), "{people}");

    assert_eq!(world.json(&["secret", "delete", "hostaway", "--force"]).ok().json()["done"], "deleted");
    let gone = given(&world, MARK, &["secret", "rotate", "hostaway"]);
    assert!(gone.code == 1 && gone.error_message().contains("there is no hostaway in "), "{gone:?}");
}

/// Nobody is to think that the value of before is gone while it serves, or that it is the one of before that is going.
#[test]
fn the_list_says_until_when_the_value_of_before_serves_while_a_rotation_is_not_settled_and_which_it_is_after() {
    let world = World::empty();
    given(&world, MARK, &["secret", "put", "hostaway"]).ok();
    let (store, secret, put) = (EmbeddedStore::new(world.secrets.path(), None), "store:hostaway", Uuid::now_v7());
    let secret = secret.parse().unwrap();
    store.rotate_as(&secret, &SecretString::from("another"), put).unwrap();
    let told = || {
        let listed = world.json(&["secret", "list"]).ok().json()[0].clone();
        let until: DateTime<Utc> = listed["previous_until"].as_str().unwrap().parse().unwrap();
        let people = world.run(&["secret", "list"]).ok().stdout;
        (listed["standing"].clone(), until - Utc::now() > TimeDelta::days(6), people)
    };
    let (standing, is_long, people) = told();
    assert_eq!((standing, is_long), (json!("pending"), true));
    assert!(people.contains("at the longest: its rotation is not settled"), "{people}");
    assert!(store.take_back(&secret, put).unwrap());
    let (standing, is_long, people) = told();
    assert_eq!((standing, is_long), (json!("taken_back"), false));
    assert!(people.contains(": the value that was taken back"), "{people}");
}

#[test]
fn what_is_no_name_or_no_value_is_wrong_usage_and_never_shown() {
    let world = World::empty();
    for name in [MARK.replace('-', "/"), format!("{MARK}$"), format!("vault:{MARK}")] {
        let ran = given(&world, "x", &["secret", "put", &name]);
        assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("name")), "{ran:?}");
        assert!(!ran.stderr.contains(&name), "it may be the secret: {ran:?}");
    }
    let surrounded = [format!("{MARK} \n"), format!("{MARK}\n\n"), format!(" {MARK}")];
    let refused = [("", "empty"), ("\n", "empty"), (" \n", "is blank"), ("\t", "is blank")];
    let surrounded = surrounded.iter().map(|value| (value.as_str(), "begins or ends with"));
    for (value, why) in refused.into_iter().chain(surrounded) {
        let ran = given(&world, value, &["secret", "put", "hostaway"]);
        assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("from_file")), "{ran:?}");
        assert!(ran.error_message().contains(why), "{ran:?}");
    }
    let ran = given(&world, MARK, &["secret", "put", "file:hostaway"]);
    assert!(ran.code == 1 && ran.error_message().contains("files are only read"), "{ran:?}");
    assert_eq!(given(&world, MARK, &["secret", "put"]).code, 2);
    assert_eq!(world.json(&["secret", "list"]).ok().json(), json!([]), "nothing was kept");
}

#[test]
fn a_secret_in_use_stays_and_goes_with_its_last_target() {
    let world = World::new();
    given(&world, MARK, &["secret", "put", "hostaway"]).ok();
    given(&world, MARK, &["secret", "put", "other"]).ok();
    let (first, second) = (target(&world, "store:hostaway"), target(&world, "store:other"));
    world.run(&["target", "rotate-credential", &second, "--secret-ref", "store:hostaway"]).ok();

    let used = world.json(&["secret", "delete", "hostaway"]);
    assert!(used.code == 1 && used.error_message().contains(&first), "{used:?}");
    assert!(used.error_message().contains(&second), "{used:?}");
    world.json(&["secret", "delete", "other"]).ok();

    let deleted = world.run(&["target", "delete", &first, "--reason", "moved"]).ok();
    assert!(deleted.stderr.contains(&format!("stays: {second} uses it")), "{deleted:?}");
    let deleted = world.json(&["target", "delete", &second, "--reason", "moved"]).ok();
    assert!(deleted.stderr.contains("is deleted with it"), "{deleted:?}");
    assert_eq!(deleted.json()["changed"], true);
    assert_eq!(world.json(&["secret", "list"]).ok().json(), json!([]));
}

#[test]
fn a_file_of_the_operator_stays_when_its_target_goes() {
    let world = World::new();
    world.secret("hostaway", 0o600);
    let target = target(&world, "file:hostaway");
    let deleted = world.run(&["target", "delete", &target, "--reason", "moved"]).ok();
    assert!(deleted.stderr.contains("stays: remove it where it is kept"), "{deleted:?}");
    assert!(world.secrets.path().join("hostaway").exists());
}

#[test]
fn a_target_whose_secret_is_not_in_the_store_is_warned_of_with_the_command() {
    let world = World::new();
    let who = ["target", "create", "--org", "sunstay", "--account", "bali", "--name", "Bali"];
    let what = ["--base-url", NOWHERE, "--channel-account", "10450", "--secret-ref", "store:absent"];
    let made = world.run(&[&who[..], &what[..]].concat()).ok();
    assert!(made.stderr.contains("`distribution secret put store:absent`"), "{made:?}");
}

#[test]
fn the_doctor_says_of_a_damaged_store_how_it_comes_back_and_that_is_so() {
    let world = World::new();
    given(&world, MARK, &["secret", "put", "hostaway"]).ok();
    target(&world, "store:hostaway");
    let folder = world.secrets.path().join(".store");
    let (key, sealed) = (folder.join("key"), folder.join("secrets.json"));
    let copies = [&key, &sealed].map(|path| std::fs::read(path).unwrap());
    let cut = |path: &Path, bytes: usize| std::fs::write(path, &std::fs::read(path).unwrap()[..bytes]).unwrap();
    let told = || {
        let report = world.json(&["doctor"]).json();
        let of_secrets = |check: &&Value| check["check"] == "secrets";
        report["checks"].as_array().unwrap().iter().find(of_secrets).cloned().unwrap()
    };
    let _service = Service::start(&world, "projector");
    eventually("the target was seen", || told()["detail"].as_str().unwrap().contains("1 reference").then_some(()));
    assert_eq!(told()["status"], "ok");
    let damages: [&dyn Fn(); 6] = [
        &|| cut(&key, 10),
        &|| cut(&key, 0),
        &|| std::fs::remove_file(&key).unwrap(),
        &|| cut(&sealed, 10),
        &|| cut(&sealed, 0),
        &|| std::fs::write(&key, format!("{}\n", "0f".repeat(32))).unwrap(),
    ];
    for damage in damages {
        damage();
        let check = told();
        assert_eq!(check["status"], "fail", "{check}");
        let advice = check["advice"].as_str().unwrap();
        assert!(!advice.contains("secret put"), "it would be refused: {advice}");
        assert!(advice.contains("back from their copy") && advice.contains("ON_CALL.md"), "{advice}");
        for (path, copy) in [&key, &sealed].into_iter().zip(&copies) {
            std::fs::write(path, copy).unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }
        assert_eq!(told()["status"], "ok", "both are back");
    }
    // Nothing is sealed with it, and no value can be.
    std::fs::remove_file(&sealed).unwrap();
    cut(&key, 10);
    assert_eq!(given(&world, MARK, &["secret", "put", "hostaway"]).code, 1);
    assert!(told()["advice"].as_str().unwrap().contains("back from their copy"), "{}", told());
    // There is no copy.
    std::fs::rename(&folder, world.secrets.path().join(".store-damaged")).unwrap();
    assert!(told()["advice"].as_str().unwrap().contains("`distribution secret put`"), "{}", told());
    given(&world, MARK, &["secret", "put", "hostaway"]).ok();
    assert_eq!(told()["status"], "ok");
}

#[test]
fn the_doctor_fails_where_the_signing_key_is_damaged_and_makes_none_where_there_is_none() {
    let world = World::new();
    let told = |settings: &[(&str, &str)]| {
        let mut command = world.command();
        command.envs(settings.iter().copied()).args(["--output", "json", "doctor"]);
        let report = Ran::from(command.output().unwrap()).json();
        let of_key = |check: &&Value| check["check"] == "signing key";
        report["checks"].as_array().unwrap().iter().find(of_key).cloned().unwrap()
    };
    let key = world.secrets.path().join(".signing-key");
    assert_eq!(told(&[])["status"], "ok");
    assert!(!key.exists(), "a look makes none");
    world.run(&["token", "--org", "sunstay", "--subject", "ci", "--role", "viewer"]).ok();
    let whole = std::fs::read(&key).unwrap();
    assert_eq!(told(&[])["detail"], "readable and whole");
    for bytes in [0, 20] {
        std::fs::write(&key, &whole[..bytes]).unwrap();
        let check = told(&[]);
        assert_eq!(check["status"], "fail", "{check}");
        let detail = check["detail"].as_str().unwrap();
        let (copy, delete) = (detail.find("back from the copy").unwrap(), detail.find("delete it").unwrap());
        assert!(detail.contains("is damaged") && copy < delete, "the copy comes first: {detail}");
    }
    // Nobody needs it there.
    for setting in [("DISTRIBUTION_ROLES", "relay,health"), ("DISTRIBUTION_OIDC_ISSUER", "https://id.example.org")] {
        assert_eq!(told(&[setting])["status"], "ok", "{setting:?}");
    }
    std::fs::write(&key, whole).unwrap();
    assert_eq!(told(&[])["status"], "ok");
}

/// Makes everything in the store older than a day.
fn age(world: &World) {
    let path = world.secrets.path().join(".store/secrets.json");
    let mut store: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for sealed in store["secrets"].as_object_mut().unwrap().values_mut() {
        sealed["created_at"] = json!("2026-01-01T00:00:00Z");
    }
    std::fs::write(&path, store.to_string()).unwrap();
}

#[test]
fn the_doctor_names_what_the_api_has_kept_for_a_target_that_never_came() {
    let world = World::new();
    let [left, used] = [(), ()].map(|()| format!("store:distribution.{}", Uuid::new_v4()));
    for name in [left.as_str(), used.as_str(), "store:by-hand"] {
        given(&world, MARK, &["secret", "put", name]).ok();
    }
    target(&world, &used);
    let named = || {
        let report = world.json(&["doctor"]).json();
        let warned = |check: &&Value| check["check"] == "secrets" && check["status"] == "warn";
        report["checks"].as_array().unwrap().iter().find(warned).map(ToString::to_string)
    };
    assert_eq!(named(), None, "its target may be just about to be made");
    age(&world);
    let warning = named().unwrap();
    assert!(warning.contains(&left) && warning.contains("1 secret that the API has kept is no target's"), "{warning}");
    assert!(!warning.contains(&used) && !warning.contains("by-hand"), "{warning}");
    world.json(&["secret", "delete", &left]).ok();
    assert_eq!(named(), None);
}

/// As the API leaves one whose process has died before its event.
fn pending(world: &World, target: &str, secret: &str) {
    let row = format!(
        "INSERT INTO pending_secrets (change_id, put_id, secret, target_id, org_id, account_id, at, kind, created_by, credential, credential_id)
         VALUES (gen_random_uuid(), gen_random_uuid(), '{secret}', '{target}', 'sunstay', 'bali', now() - interval '1 hour', 'rotate',
             'ops@example.org', 'session', '7')"
    );
    world.block_on(async {
        let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
        connection.execute(row.as_str()).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_secret_without_its_event_is_told_with_who_began_it_and_ended_before_another_value_is_put_there() {
    let world = World::new();
    let id = Uuid::now_v7().to_string();
    let secret = format!("store:distribution.{id}");
    given(&world, MARK, &["secret", "put", &secret]).ok();
    let named = || {
        let report = world.json(&["doctor"]).json();
        let warned = |check: &&Value| check.to_string().contains("come to no end");
        report["checks"].as_array().unwrap().iter().find(warned).map(ToString::to_string)
    };
    assert_eq!(named(), None);
    let listed = world.run(&["secret", "list"]).ok();
    assert_eq!(listed.stderr, "");

    pending(&world, &id, &secret);
    let told = [named().unwrap(), world.run(&["secret", "list"]).ok().stderr];
    for told in told {
        for words in [secret.as_str(), id.as_str(), "ops@example.org (session 7)"] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
    given(&world, &format!("{MARK}-2"), &["secret", "rotate", &secret]).ok();
    assert_eq!((named(), world.run(&["secret", "list"]).ok().stderr), (None, String::new()));
}

#[test]
fn a_secrets_manager_out_of_reach_is_3() {
    let world = World::empty();
    let mut command = world.command();
    command.args(["--output", "json", "secret", "put", "aws:prod/hostaway", "--aws-endpoint", "http://127.0.0.1:9"]);
    let file = world.secrets.path().join("value");
    std::fs::write(&file, MARK).unwrap();
    command.arg("--from-file").arg(file).env("AWS_REGION", "eu-central-1").env("AWS_EC2_METADATA_DISABLED", "true");
    let ran: Ran = command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x").output().unwrap().into();
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.error_message().contains("AWS Secrets Manager cannot be reached"), "{ran:?}");
    assert!(!ran.stderr.contains(MARK), "{ran:?}");
}
