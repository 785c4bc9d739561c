//! Tokens that this service signs itself, and the key that it makes for that.

use std::os::unix::fs::PermissionsExt as _;

use adapters::identity::{KeyFileError, LocalIdentity, TokenError};
use adapters::secrets::LocalSecrets;
use chrono::TimeDelta;
use domain::access::CredentialKind;
use domain::secret::SecretRef;
use secrecy::ExposeSecret as _;

use crate::database::somebody;
use crate::issuer::{Issuer, Key, claims};
use jsonwebtoken::Algorithm;

#[test]
fn a_token_gives_back_whom_it_was_made_for() {
    let dir = tempfile::tempdir().unwrap();
    let issued = LocalIdentity::open(dir.path()).unwrap().issue(&somebody("ci"), TimeDelta::hours(1)).unwrap();
    // Another process, the same folder.
    let caller = LocalIdentity::open(dir.path()).unwrap().caller(issued.token.expose_secret()).unwrap();
    assert_eq!(caller, somebody("ci").caller(CredentialKind::LocalToken, issued.token_id));
}

#[test]
fn a_token_of_another_key_or_from_before_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = LocalIdentity::open(dir.path()).unwrap();
    let there = LocalIdentity::open(other.path()).unwrap();
    let token = there.issue(&somebody("ci"), TimeDelta::hours(1)).unwrap().token;
    assert_eq!(here.caller(token.expose_secret()).unwrap_err(), TokenError::UnknownKey);
    let before = here.issue(&somebody("ci"), TimeDelta::seconds(-60)).unwrap_err();
    assert_eq!(before, TokenError::Expired);
    let token = here.issue(&somebody("ci"), TimeDelta::hours(1)).unwrap().token;
    let broken = format!("{}x", token.expose_secret());
    assert!(here.caller(&broken).is_err());
}

#[tokio::test]
async fn a_providers_token_is_no_local_one_and_the_other_way_round() {
    let dir = tempfile::tempdir().unwrap();
    let here = LocalIdentity::open(dir.path()).unwrap();
    // A provider that names its key like ours.
    let key = Key::new(Algorithm::EdDSA, here.key_id());
    let issuer = Issuer::publishing(&[&key]).await;
    assert_eq!(here.caller(&key.sign(&claims())).unwrap_err(), TokenError::Signature);
    let ours = here.issue(&somebody("ci"), TimeDelta::hours(1)).unwrap().token;
    assert_eq!(issuer.tokens().caller(ours.expose_secret()).await.unwrap_err(), TokenError::Signature);
}

#[test]
fn the_key_is_made_once_and_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new");
    let ids: Vec<String> = std::thread::scope(|scope| {
        let open = || LocalIdentity::open(&folder).unwrap().key_id().to_owned();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn a_key_that_others_may_read_or_that_is_damaged_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    LocalIdentity::open(dir.path()).unwrap();
    let path = dir.path().join(".signing-key");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(LocalIdentity::open(dir.path()), Err(KeyFileError::Exposed { mode: 0o640, .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "no key").unwrap();
    assert!(matches!(LocalIdentity::open(dir.path()), Err(KeyFileError::Damaged { .. })));
}

#[tokio::test]
async fn no_reference_reaches_the_key() {
    let dir = tempfile::tempdir().unwrap();
    LocalIdentity::open(dir.path()).unwrap();
    assert!("file:.signing-key".parse::<SecretRef>().is_err());
    let beside = LocalSecrets { dir: dir.path().to_owned() }.read(&"file:signing-key".parse().unwrap());
    assert!(beside.is_err());
}
