//! A check: one call, and what its end says of the target.

use std::sync::Arc;

use adapters::hostaway::Hostaway;
use adapters::secrets::SecretStore as _;
use domain::call::{CallPurpose, pause_of};
use domain::outcome::OutcomeClass;
use domain::port::{Channel as _, CheckReport};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{Bench, inside, kept_in_the_store};
use crate::sandbox::{SECRET, Sandbox};
use crate::slots::End;

async fn check(bench: &Bench) -> CheckReport {
    bench.hostaway.check(&bench.target, &bench.slots).await
}

#[tokio::test]
async fn a_check_is_one_call_beside_the_token_and_each_has_its_slot() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    for _ in 0..2 {
        let report = check(&bench).await;
        assert_eq!((report.class, report.detail.as_deref()), (OutcomeClass::Accepted, None));
    }
    assert_eq!(bench.slots.purposes(), [CallPurpose::Token, CallPurpose::Probe, CallPurpose::Probe]);
    assert!(bench.slots.taken().iter().all(|slot| slot.end == End::Answered));
    assert_eq!(sandbox.arrivals().await.len(), 3);
}

#[tokio::test]
async fn what_is_wrong_is_told_apart() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    check(&bench).await;
    sandbox.fault(json!({ "kind": "cut_before", "count": 1 })).await;
    let down = check(&bench).await;
    assert_eq!((down.class, down.calls[0].status), (OutcomeClass::Transient, None));
    sandbox.fault(json!({ "kind": "status", "code": 503, "count": 1 })).await;
    let ill = check(&bench).await;
    assert_eq!((ill.class, ill.calls[0].status), (OutcomeClass::Transient, Some(503)));
    let other = Bench::new(&sandbox);
    sandbox.set_secret("another").await;
    let refused = check(&other).await;
    assert_eq!((refused.class, refused.credentials_refused), (OutcomeClass::Unauthorised, true));
}

/// That nobody could ask with it is no answer of the channel's.
#[tokio::test]
async fn the_secret_of_before_serves_where_a_call_with_it_was_taken_and_not_where_none_was_made() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    secrets.rotate(&secret, SecretString::from("not known yet")).await.unwrap();
    bench.slots.most = 1;
    let unasked = check(&bench).await;
    let detail = unasked.detail.unwrap_or_default();
    assert!(detail.starts_with("the new secret is refused, whether the previous one serves is not known"), "{detail}");
    assert_eq!((unasked.calls.len(), unasked.credentials_refused), (1, false));

    bench.slots.most = usize::MAX;
    let serves = check(&bench).await;
    let detail = serves.detail.unwrap_or_default();
    assert!(detail.starts_with("the new secret is refused, the previous one serves for 300 s"), "{detail}");
    assert!(!serves.credentials_refused, "{detail}");

    // In another process, which has no earlier token.
    bench.hostaway = Hostaway::new(&inside(), Arc::new(secrets)).unwrap();
    sandbox.set_secret("another").await;
    let neither = check(&bench).await;
    assert!(neither.credentials_refused, "{neither:?}");
    assert!(!neither.detail.unwrap_or_default().contains("previous"));
}

/// Until its event is there it may be taken back, and what it is taken back to has to be there.
#[tokio::test]
async fn of_a_rotation_that_is_not_settled_the_secret_of_before_is_told_to_serve_until_it_is() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    let put = Uuid::now_v7();
    secrets.rotate_as(&secret, SecretString::from("not known yet"), put).await.unwrap();
    let refused = "the new secret is refused, the previous one serves for 300 s after the rotation";
    let detail = check(&bench).await.detail.unwrap_or_default();
    let until = format!("{refused}, and until that is settled, for a week at the longest: ");
    assert!(detail.starts_with(&until), "{detail}");
    secrets.settle(&secret, put).await.unwrap();
    let detail = check(&bench).await.detail.unwrap_or_default();
    assert!(detail.starts_with(&format!("{refused}: ")), "{detail}");
}

/// Nobody else tells of it: the check is told as one whose secret was refused.
#[tokio::test]
async fn a_pause_that_the_call_with_the_secret_of_before_met_is_told_with_the_check() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    secrets.rotate(&secret, SecretString::from("not known yet")).await.unwrap();
    let pause = json!({ "kind": "rate_limited", "retry_after_s": 7, "path_prefix": "/v1/listings", "count": 1 });
    sandbox.fault(pause).await;
    let paused = check(&bench).await;
    let detail = paused.detail.unwrap_or_default();
    assert!(detail.starts_with("the new secret is refused, whether the previous one serves is not known"), "{detail}");
    assert_eq!((paused.class, pause_of(&detail).is_some()), (OutcomeClass::Unauthorised, true), "{detail}");
}

/// There is no other one then, and to say so would take the alarm away.
#[tokio::test]
async fn a_secret_that_is_refused_and_was_rotated_in_for_itself_leaves_none_of_before() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let (secrets, secret) = kept_in_the_store(&mut bench).await;
    sandbox.set_secret("another").await;
    secrets.rotate(&secret, SecretString::from(SECRET)).await.unwrap();
    let refused = check(&bench).await;
    assert_eq!((refused.credentials_refused, refused.calls.len()), (true, 1), "{refused:?}");
}
