//! Links and tokens that this service gives out itself, and what it refuses to give beside an identity provider.

use std::os::unix::fs::PermissionsExt;

use adapters::identity::{LocalIdentity, Sessions, SignInLinks, Way};
use domain::access::{AccessRole, Accounts, CredentialKind};
use domain::ids::AccountId;
use serde_json::Value;
use sqlx::PgPool;

use crate::world::World;

const TOKEN: [&str; 7] = ["token", "--subject", "ci", "--org", "sunstay", "--role", "viewer"];
const SIGN_IN: [&str; 5] = ["sign-in", "--org", "sunstay", "--role", "owner"];

#[test]
fn a_token_is_printed_alone_and_is_taken_by_whoever_has_the_folder() {
    let world = World::new();
    let more = ["--account", "bali", "--account", "lombok", "--role", "channel-publisher", "--expires-in", "10m"];
    let ran = world.run(&[&TOKEN[..], &more].concat()).ok();
    let token = ran.stdout.trim();
    assert!(!ran.stderr.contains(token) && ran.stderr.contains("for ci in sunstay"), "{ran:?}");
    let caller = LocalIdentity::open(world.secrets.path()).unwrap().caller(token).unwrap();
    assert_eq!((caller.subject.as_str(), caller.org_id.as_str()), ("ci", "sunstay"));
    assert_eq!(caller.roles, [AccessRole::ChannelPublisher, AccessRole::Viewer].into());
    let Accounts::Only(accounts) = caller.accounts else { panic!("all accounts") };
    assert_eq!(accounts.iter().map(AccountId::as_str).collect::<Vec<_>>(), ["bali", "lombok"]);
    let key = world.secrets.path().join(".signing-key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_token_comes_as_json_and_lives_an_hour() {
    let world = World::new();
    let answer = world.json(&TOKEN).ok().json();
    let caller = LocalIdentity::open(world.secrets.path()).unwrap().caller(answer["token"].as_str().unwrap()).unwrap();
    assert_eq!(
        (caller.credential, caller.credential_id.as_str()),
        (CredentialKind::LocalToken, answer["token_id"].as_str().unwrap())
    );
    assert_eq!(caller.accounts, Accounts::All);
    let ends: chrono::DateTime<chrono::Utc> = answer["expires_at"].as_str().unwrap().parse().unwrap();
    let minutes = (ends - chrono::Utc::now()).num_minutes();
    assert!((58..=60).contains(&minutes), "{minutes}");
}

/// The key and the folder are enough.
#[test]
fn a_token_without_postgres_comes_with_a_warning() {
    let world = World::empty();
    for address in ["postgres://me:s3cret@127.0.0.1:9/x", world.database_url.as_str()] {
        let ran = world.run(&[&["--database-url", address][..], &TOKEN].concat()).ok();
        assert!(ran.stderr.contains("does not say whether `serve` has an identity provider"), "{ran:?}");
        assert!(!ran.stderr.contains("s3cret"), "{ran:?}");
        assert!(LocalIdentity::open(world.secrets.path()).unwrap().caller(ran.stdout.trim()).is_ok(), "{ran:?}");
    }
    let ran = World::new().run(&TOKEN).ok();
    assert!(!ran.stderr.contains("warning"), "{ran:?}");
}

#[test]
fn a_link_lets_in_once_and_is_printed_alone() {
    let world = World::new();
    let ran = world.run(&SIGN_IN).ok();
    let link = ran.stdout.trim();
    let code = link.strip_prefix("http://localhost:8080/sign-in?code=").unwrap_or_else(|| panic!("{link}"));
    assert!(!ran.stderr.contains(code), "{ran:?}");
    world.block_on(async {
        let pool = PgPool::connect(&world.database_url).await.unwrap();
        let links = SignInLinks::new(pool.clone());
        let grant = links.redeem(code).await.unwrap().unwrap();
        assert_eq!(
            (grant.subject.as_str(), grant.org_id.as_str(), grant.accounts),
            ("tester", "sunstay", Accounts::All)
        );
        assert_eq!(grant.roles, [AccessRole::Owner].into());
        assert_eq!(links.redeem(code).await.unwrap(), None);
        pool.close().await;
    });
    let elsewhere = ["--subject", "ana@example.org", "--url", "https://channels.example.org/"];
    let answer = world.json(&[&SIGN_IN[..], &elsewhere].concat()).ok().json();
    assert!(answer["url"].as_str().unwrap().starts_with("https://channels.example.org/sign-in?code="), "{answer}");
    assert_eq!(answer["subject"], "ana@example.org");
}

#[test]
fn signing_out_ends_the_sessions_of_a_person() {
    let world = World::new();
    let link = world.run(&[&SIGN_IN[..], &["--subject", "ana"]].concat()).ok().stdout;
    let code = link.trim().split_once("code=").unwrap().1;
    world.block_on(async {
        let pool = PgPool::connect(&world.database_url).await.unwrap();
        let grant = SignInLinks::new(pool.clone()).redeem(code).await.unwrap().unwrap();
        Sessions::new(pool.clone()).begin(grant, Way::Link, None).await.unwrap();
        pool.close().await;
    });
    let other = world.json(&["sign-out", "--subject", "ana", "--org", "moonstay"]).ok().json();
    assert_eq!(other["ended"], 0);
    assert_eq!(world.run(&["sign-out", "--subject", "ana"]).ok().stdout, "ended 1 session of ana\n");
    assert_eq!(world.run(&["sign-out", "--subject", "ana"]).ok().stdout, "ended 0 sessions of ana\n");
}

#[test]
fn beside_an_identity_provider_neither_links_nor_tokens_are_given() {
    let world = World::new();
    for setting in ["DISTRIBUTION_OIDC_ISSUER", "DISTRIBUTION_JWKS_URL"] {
        for arguments in [&TOKEN[..], &SIGN_IN] {
            let mut command = world.command();
            command.env(setting, "https://id.example.org").args(["--output", "json"]).args(arguments);
            let ran: crate::world::Ran = command.output().unwrap().into();
            assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
            assert!(ran.error_message().contains(setting), "{ran:?}");
        }
    }
    assert!(!world.secrets.path().join(".signing-key").exists());
}

#[test]
fn what_makes_no_sense_is_refused_by_its_field() {
    let world = World::new();
    for (more, field) in [
        (["--expires-in", "0s"], "expires_in"),
        (["--expires-in", "91d"], "expires_in"),
        (["--expires-in", "é"], "expires_in"),
        (["--role", "admin"], "role"),
        (["--account", "a b"], "account"),
        (["--oidc-issuer", "http://id.example.org"], "oidc_issuer"),
    ] {
        let ran = world.json(&[&TOKEN[..], &more].concat());
        assert_eq!((ran.code, ran.error()["field"].clone()), (2, Value::from(field)), "{ran:?}");
    }
    let ran = world.json(&["token", "--subject", " ", "--org", "sunstay", "--role", "viewer"]);
    assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("subject")), "{ran:?}");
    let ran = world.json(&["token", "--subject", "ci", "--org", "sunstay"]);
    assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("role")), "{ran:?}");
}
