//! The life of a token: got once however many wait, renewed once on a 403, never in a loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use adapters::hostaway::Hostaway;
use adapters::secrets::{Secret, SecretError, SecretStore};
use async_trait::async_trait;
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::outcome::OutcomeClass;
use domain::secret::SecretRef;
use domain::target::Health;
use futures::future::join_all;
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{Bench, Listing, inside, kept_in_the_store, write_secret};
use crate::sandbox::{SECRET, Sandbox};
use crate::slots::End;

const CONTENT: [Section; 1] = [Section::Content];

#[tokio::test]
async fn twenty_pushes_at_once_get_one_token_and_after_a_403_one_more() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listings: Vec<Listing> = (0..20).map(|n| Listing::new(&format!("villa-{n}"))).collect();
    let reports = join_all(listings.iter().map(|listing| bench.push(listing, &Section::ALL))).await;
    assert!(reports.iter().all(|report| report.class == OutcomeClass::Accepted), "{reports:?}");
    assert_eq!(sandbox.token_calls().await, 1);
    for (listing, report) in listings.iter_mut().zip(reports) {
        listing.external_id = report.progress.external_id;
    }

    // Revoking the token once refuses all twenty.
    sandbox.fault(json!({ "kind": "expired_token", "count": 1 })).await;
    let reports = join_all(listings.iter().map(|listing| bench.push(listing, &CONTENT))).await;
    assert!(reports.iter().all(|report| report.class == OutcomeClass::Accepted), "{reports:?}");
    assert_eq!(sandbox.token_calls().await, 2);
    let refused = reports.iter().filter(|report| report.calls[0].class == OutcomeClass::Unauthorised).count();
    assert!(refused > 1, "several saw the 403");
}

#[tokio::test]
async fn a_403_is_tried_once_more_with_a_new_token() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.fault(json!({ "kind": "expired_token", "count": 1 })).await;
    let report = bench.push(&listing, &CONTENT).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    let statuses: Vec<(CallPurpose, Option<u16>)> =
        report.calls.iter().map(|call| (call.purpose, call.status)).collect();
    use CallPurpose::{Content, Token};
    assert_eq!(statuses, [(Content, Some(403)), (Token, Some(200)), (Content, Some(200))]);
}

/// Two listings at the channel; the first is refused to whatever token.
async fn one_without_rights(sandbox: &Sandbox, bench: &Bench) -> (Listing, Listing) {
    let held = Listing::created("villa-1", bench).await;
    let other = Listing::created("villa-2", bench).await;
    let path = format!("/v1/listings/{}", held.external());
    sandbox.fault(json!({ "path_prefix": path, "kind": "status", "code": 403 })).await;
    (held, other)
}

#[tokio::test]
async fn a_second_403_is_a_matter_of_rights_and_asks_for_no_more_tokens() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let (held, other) = one_without_rights(&sandbox, &bench).await;

    // The channel may have forgotten both.
    let report = bench.push(&held, &CONTENT).await;
    assert_eq!((report.class, report.credentials_refused), (OutcomeClass::Transient, false), "{report:?}");
    assert_eq!(report.calls.len(), 3);
    assert_eq!(sandbox.token_calls().await, 2);

    // The new token is good for others, so the next 403 is known for what it is.
    assert_eq!(bench.push(&other, &CONTENT).await.class, OutcomeClass::Accepted);
    let report = bench.push(&held, &CONTENT).await;
    assert_eq!((report.class, report.calls.len()), (OutcomeClass::Unauthorised, 1), "{report:?}");
    assert!(!report.credentials_refused, "{report:?}");
    assert_eq!(sandbox.token_calls().await, 2);
}

#[tokio::test]
async fn an_account_without_any_rights_ends_as_unauthorised_in_the_second_attempt() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.fault(json!({ "path_prefix": "/v1/listings", "kind": "status", "code": 403 })).await;
    assert_eq!(bench.push(&listing, &CONTENT).await.class, OutcomeClass::Transient);
    let report = bench.push(&listing, &CONTENT).await;
    assert_eq!((report.class, report.credentials_refused), (OutcomeClass::Unauthorised, false), "{report:?}");
}

/// Torture found that it did, for five minutes: every push of the account ended as unauthorised.
#[tokio::test]
async fn a_listing_without_rights_keeps_no_other_from_a_new_token() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let (held, other) = one_without_rights(&sandbox, &bench).await;
    bench.push(&held, &CONTENT).await;
    assert_eq!(bench.push(&other, &CONTENT).await.class, OutcomeClass::Accepted);
    sandbox.fault(json!({ "kind": "expired_token", "count": 1 })).await;
    let report = bench.push(&other, &CONTENT).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
}

#[tokio::test]
async fn a_token_that_was_revoked_twice_in_a_row_heals_with_the_next_push() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.fault(json!({ "method": "PUT", "kind": "expired_token", "count": 2 })).await;
    assert_eq!(bench.push(&listing, &CONTENT).await.class, OutcomeClass::Transient);
    let report = bench.push(&listing, &CONTENT).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
}

#[tokio::test]
async fn wrong_credentials_are_told_apart_and_asked_for_once_by_all_who_wait() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    sandbox.set_secret("another").await;
    let listings: Vec<Listing> = (0..20).map(|n| Listing::new(&format!("villa-{n}"))).collect();
    let reports = join_all(listings.iter().map(|listing| bench.push(listing, &Section::ALL))).await;
    for report in &reports {
        assert_eq!((report.class, report.credentials_refused), (OutcomeClass::Unauthorised, true), "{report:?}");
    }
    assert_eq!(sandbox.arrivals().await.len(), 1);
}

#[tokio::test]
async fn a_rotated_secret_gets_a_new_token_without_a_restart() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.set_secret("rotated").await;
    write_secret(bench.secrets.path(), "hostaway", "rotated\n", 0o600);
    let report = bench.push(&listing, &CONTENT).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(sandbox.token_calls().await, 2);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_refuses_the_credentials_and_calls_nobody() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    bench.target.credential = "file:absent".parse().unwrap();
    let report = bench.push(&Listing::new("villa-1"), &Section::ALL).await;
    assert_eq!((report.class, report.credentials_refused), (OutcomeClass::Unauthorised, true));
    assert!(report.detail.unwrap().contains("file:absent"));
    assert!(sandbox.arrivals().await.is_empty());
}

#[tokio::test]
async fn a_push_that_began_before_a_rotation_ends_with_the_value_it_began_with() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    let slow = Listing::created("villa-1", &bench).await;
    let other = Listing::created("villa-2", &bench).await;
    let path = format!("/v1/listings/{}", slow.external());
    sandbox.fault(json!({ "kind": "latency", "path_prefix": path, "min_ms": 1_500, "max_ms": 1_500 })).await;

    let rotation = async {
        while bench.slots.taken().last().is_none_or(|slot| slot.end != End::Open) {
            tokio::task::yield_now().await;
        }
        sandbox.set_secret("rotated").await;
        secrets.rotate(&secret, SecretString::from("rotated")).await.unwrap();
        bench.push(&other, &CONTENT).await
    };
    let (slow, other) = tokio::join!(bench.push(&slow, &Section::ALL), rotation);
    assert_eq!((slow.class, other.class), (OutcomeClass::Accepted, OutcomeClass::Accepted), "{slow:?} {other:?}");
    assert!(slow.calls.len() > 1 && slow.calls.iter().all(|call| call.purpose != CallPurpose::Token), "{slow:?}");
    assert_eq!(other.calls[0].purpose, CallPurpose::Token, "{other:?}");
    assert_eq!(sandbox.token_calls().await, 2, "one with each value, and no going back and forth");
}

#[tokio::test]
async fn a_push_that_needs_another_token_after_a_rotation_asks_with_the_new_value() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.fault(json!({ "kind": "expired_token", "path_prefix": "/v1/listings", "count": 1 })).await;
    sandbox.set_secret("rotated").await;
    secrets.rotate(&secret, SecretString::from("rotated")).await.unwrap();
    // The previous value stays out of it: it is refused by now.
    let report = bench.push(&listing, &CONTENT).await;
    assert_eq!((report.class, report.new_secret_refused), (OutcomeClass::Accepted, None));
    assert_eq!(sandbox.token_calls().await, 3, "both after the rotation with the new value");
}

/// A keeper that tells whoever asks anew something else than what it gave before that.
struct Keeper {
    gave: Secret,
    /// `None` where it cannot be asked now.
    anew: Option<Secret>,
}

#[async_trait]
impl SecretStore for Keeper {
    async fn create(&self, _: &SecretRef, _: SecretString) -> Result<(), SecretError> {
        unreachable!("nobody makes one")
    }

    async fn read(&self, _: &SecretRef) -> Result<Secret, SecretError> {
        Ok(self.gave.clone())
    }

    async fn read_anew(&self, secret: &SecretRef) -> Result<Secret, SecretError> {
        let away = || SecretError::Unreachable { secret: secret.clone(), reason: "it does not answer".to_owned() };
        self.anew.clone().ok_or_else(away)
    }

    async fn rotate(&self, _: &SecretRef, _: SecretString) -> Result<(), SecretError> {
        unreachable!("nobody rotates it")
    }

    async fn delete(&self, _: &SecretRef) -> Result<(), SecretError> {
        unreachable!("nobody deletes it")
    }
}

/// A new value that the channel does not know yet, and the previous one.
fn rotated() -> Secret {
    let previous = Some(SecretString::from(SECRET));
    Secret { current: SecretString::from("not known yet"), previous, pending: false }
}

#[tokio::test]
async fn a_push_to_a_degraded_target_does_not_go_by_a_secret_that_was_read_a_minute_ago() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    // Rotated less than a minute ago.
    let keeper = Keeper { gave: Secret::of(SecretString::from(SECRET)), anew: Some(rotated()) };
    bench.hostaway = Hostaway::new(&inside(), Arc::new(keeper)).unwrap();
    let listing = Listing::created("villa-1", &bench).await;
    assert_eq!(bench.push(&listing, &CONTENT).await.new_secret_refused, None);
    // Somebody who knows the new one has seen it refused.
    bench.target.health = Health::Degraded;
    let report = bench.push(&listing, &CONTENT).await;
    assert_eq!((report.class, report.new_secret_refused.is_some()), (OutcomeClass::Accepted, true), "{report:?}");
}

#[tokio::test]
async fn the_value_of_before_serves_while_its_keeper_cannot_be_asked() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let away = |gave| Arc::new(Keeper { gave, anew: None });
    bench.hostaway = Hostaway::new(&inside(), away(rotated())).unwrap();
    let listing = Listing::created("villa-1", &bench).await;
    for health in [Health::Healthy, Health::Degraded] {
        bench.target.health = health;
        let report = bench.push(&listing, &CONTENT).await;
        assert_eq!((report.class, report.new_secret_refused.is_some()), (OutcomeClass::Accepted, true), "{report:?}");
    }
    assert_eq!(sandbox.token_calls().await, 2, "one with each value");

    // There is no other: that its credentials are refused is not known, as they may have been changed.
    bench.hostaway = Hostaway::new(&inside(), away(Secret::of(SecretString::from("previous")))).unwrap();
    let report = bench.push(&listing, &CONTENT).await;
    assert_eq!((report.class, report.credentials_refused), (OutcomeClass::Transient, false), "{report:?}");
    assert!(report.detail.unwrap_or_default().contains("its keeper does not answer"));
    assert_eq!(sandbox.token_calls().await, 3);
}

#[tokio::test]
async fn a_channel_that_does_not_know_the_new_value_yet_gets_the_one_of_before() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    secrets.rotate(&secret, SecretString::from("not known yet")).await.unwrap();
    let listing = Listing::created("villa-1", &bench).await;
    let report = bench.push(&listing, &CONTENT).await;
    assert_eq!(report.class, OutcomeClass::Accepted);
    assert_eq!(sandbox.token_calls().await, 2, "the refused value is not tried again with every push");
    // Its success tells nothing of the new value, and it says so.
    let words = report.new_secret_refused.unwrap_or_default();
    assert!(
        words.starts_with("the new secret is refused, the previous one serves for 300 s") && words.contains("401"),
        "{words}"
    );

    // Without a previous value the refusal is one of the credentials.
    secrets.delete(&secret).await.unwrap();
    secrets.create(&secret, SecretString::from("not known at all")).await.unwrap();
    let report = bench.push(&listing, &CONTENT).await;
    assert_eq!((report.class, report.credentials_refused), (OutcomeClass::Unauthorised, true), "{report:?}");
}

/// For how long is told as the keeper of the secret has it at that moment, though the refusal is not met again.
#[tokio::test]
async fn of_a_rotation_that_is_not_settled_a_push_tells_how_long_the_value_of_before_serves() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    let put = Uuid::now_v7();
    secrets.rotate_as(&secret, SecretString::from("not known yet"), put).await.unwrap();
    let listing = Listing::created("villa-1", &bench).await;
    let words = bench.push(&listing, &CONTENT).await.new_secret_refused.unwrap_or_default();
    let until = "for 300 s after the rotation, and until that is settled, for a week at the longest: ";
    assert!(words.contains(until), "{words}");
    secrets.settle(&secret, put).await.unwrap();
    let words = bench.push(&listing, &CONTENT).await.new_secret_refused.unwrap_or_default();
    assert!(words.contains("for 300 s after the rotation: "), "{words}");
    assert_eq!(sandbox.token_calls().await, 2, "one with each value");
}

/// A double click, or a retry after a 503. It once was an endless loop of token calls that ended with the process.
#[tokio::test]
async fn a_refused_secret_that_is_rotated_in_twice_leaves_the_one_of_before_to_serve() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    for _ in 0..2 {
        secrets.rotate(&secret, SecretString::from("not known yet")).await.unwrap();
    }
    let listing = Listing::new("villa-1");
    let push = bench.push(&listing, &Section::ALL);
    let report = tokio::time::timeout(Duration::from_secs(30), push).await.expect("it comes to an end");
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(sandbox.token_calls().await, 2, "one with each value");
}

#[tokio::test]
async fn where_both_values_are_refused_each_is_asked_with_once_and_the_right_one_heals() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    sandbox.set_secret("another").await;
    secrets.rotate(&secret, SecretString::from("mistyped")).await.unwrap();
    let listing = Listing::new("villa-1");
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!((report.class, report.credentials_refused), (OutcomeClass::Unauthorised, true), "{report:?}");
    assert_eq!(sandbox.token_calls().await, 2, "one with each value");
    secrets.rotate(&secret, SecretString::from("another")).await.unwrap();
    assert_eq!(bench.push(&listing, &Section::ALL).await.class, OutcomeClass::Accepted);
    assert_eq!(sandbox.token_calls().await, 3);
}

/// The channel may take the new value and drop the previous one at the same moment.
#[tokio::test]
async fn the_new_value_is_asked_with_again_once_the_one_of_before_is_refused() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    secrets.rotate(&secret, SecretString::from("rotated")).await.unwrap();
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.set_secret("rotated").await;
    sandbox.fault(json!({ "kind": "expired_token", "count": 1 })).await;
    assert_eq!(bench.push(&listing, &CONTENT).await.class, OutcomeClass::Accepted);
    assert_eq!(sandbox.token_calls().await, 4, "refused, taken; refused, taken");
}

/// A keeper whose values are all refused, each being its own previous one too. Each look finds the value that is `step` further.
struct Useless {
    step: u32,
    looks: AtomicU32,
}

#[async_trait]
impl SecretStore for Useless {
    async fn create(&self, _secret: &SecretRef, _value: SecretString) -> Result<(), SecretError> {
        Ok(())
    }

    async fn read(&self, _secret: &SecretRef) -> Result<Secret, SecretError> {
        let value = SecretString::from(format!("guess {}", self.looks.fetch_add(self.step, Ordering::SeqCst)));
        Ok(Secret { current: value.clone(), previous: Some(value), pending: false })
    }

    async fn rotate(&self, _secret: &SecretRef, _value: SecretString) -> Result<(), SecretError> {
        Ok(())
    }

    async fn delete(&self, _secret: &SecretRef) -> Result<(), SecretError> {
        Ok(())
    }
}

#[tokio::test]
async fn whatever_its_keeper_says_a_push_asks_for_a_token_four_times_at_most() {
    for (step, calls) in [(0, 1), (1, 4)] {
        let sandbox = Sandbox::start().await;
        let mut bench = Bench::new(&sandbox);
        let keeper = Useless { step, looks: AtomicU32::new(0) };
        bench.hostaway = Hostaway::new(&inside(), Arc::new(keeper)).unwrap();
        let listing = Listing::new("villa-1");
        let push = bench.push(&listing, &Section::ALL);
        let report = tokio::time::timeout(Duration::from_secs(30), push).await.expect("it comes to an end");
        assert_eq!((report.class, report.credentials_refused), (OutcomeClass::Unauthorised, true), "{report:?}");
        assert_eq!(sandbox.token_calls().await, calls, "{step}");
    }
}
