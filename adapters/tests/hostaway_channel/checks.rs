//! A check: one call, and what its end says of the target.

use domain::call::CallPurpose;
use domain::outcome::OutcomeClass;
use domain::port::{Channel as _, CheckReport};
use serde_json::json;

use crate::fixture::Bench;
use crate::sandbox::Sandbox;
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
