//! A creation that is answered with an id and without our reference: what is there under that id tells, and nothing is created again.

use std::sync::atomic::Ordering;

use domain::call::{LISTING_GONE, UNPROVED};
use domain::channel::Section;
use domain::ids::ExternalId;
use domain::listing::Progress;
use domain::outcome::OutcomeClass;
use domain::port::{NotOurs, PushReport};
use serde_json::{Value, json};

use crate::fixture::{Bench, Listing};
use crate::sandbox::Sandbox;

/// What the channel shows of the listing, if anything else than it has.
type Way<'a> = &'a dyn Fn(&Listing) -> Option<Value>;

/// The first id that a sandbox gives.
const FIRST: u64 = 40_001;

fn success(result: &Value) -> Value {
    json!({ "status": "success", "result": result })
}

/// A channel that makes listings and tells their id alone.
async fn tells_ids_alone(sandbox: &Sandbox) {
    let body = success(&json!({ "id": FIRST }));
    let lie = json!({ "method": "POST", "path_prefix": "/v1/listings", "kind": "lie", "code": 200, "body": body });
    sandbox.fault(lie).await;
}

/// What it says of the listing itself.
async fn shows(sandbox: &Sandbox, code: u16, body: &Value) {
    let path = "/v1/listings/*";
    sandbox.fault(json!({ "method": "GET", "path_pattern": path, "kind": "status", "code": code, "body": body })).await;
}

/// Its list does not have it.
async fn lists_nothing(sandbox: &Sandbox) {
    let (path, body) = ("/v1/listings", json!({ "status": "success", "count": 0, "result": [] }));
    sandbox.fault(json!({ "method": "GET", "path_pattern": path, "kind": "status", "code": 200, "body": body })).await;
}

fn id() -> ExternalId {
    ExternalId(FIRST.to_string())
}

/// The listing as it was sent, with another value of a field.
fn with(listing: &Listing, field: &str, value: Value) -> Value {
    let mut shown = listing.content();
    shown["id"] = json!(FIRST);
    shown[field] = value;
    success(&shown)
}

fn is_left_to_a_person(report: &PushReport) {
    assert_eq!(report.class, OutcomeClass::Rejected, "{report:?}");
    assert_eq!(report.progress, Progress { unproved: Some(id()), ..Progress::default() });
    let detail = report.detail.as_deref().unwrap_or_default();
    assert!(detail.contains(UNPROVED) && detail.contains(&id().0) && !detail.contains(LISTING_GONE), "{detail}");
}

#[tokio::test]
async fn an_id_alone_is_taken_where_our_reference_or_what_was_sent_is_there() {
    let name = |listing: &Listing, name: Value| Some(with(listing, "internalListingName", name));
    let ours = |listing: &Listing| listing.content()["internalListingName"].as_str().unwrap().to_uppercase();
    let ways: [Way<'_>; 4] =
        [&|_| None, &|listing| name(listing, Value::Null), &|listing| name(listing, json!("")), &|listing| {
            name(listing, json!(ours(listing).replace('-', "_")))
        }];
    for way in ways {
        let sandbox = Sandbox::start().await;
        let bench = Bench::new(&sandbox);
        let listing = Listing::new("villa-1");
        tells_ids_alone(&sandbox).await;
        if let Some(shown) = way(&listing) {
            shows(&sandbox, 200, &shown).await;
        }
        let report = bench.push(&listing, &Section::ALL).await;
        assert!(report.class.succeeded(), "{report:?}");
        assert_eq!((report.progress.external_id, report.progress.unproved), (Some(id()), None));
        assert_eq!((sandbox.listings().await.len(), bench.slots.creations.load(Ordering::SeqCst)), (1, 1));
    }
}

#[tokio::test]
async fn an_id_that_nothing_proves_is_left_to_a_person_and_nothing_is_created_beside_it() {
    let gone = json!({ "status": "fail", "message": "Listing not found" });
    let refused = json!({ "status": "fail", "message": "an image is missing" });
    let listing = Listing::new("villa-1");
    for (code, shown) in [
        (200, with(&listing, "internalListingName", json!("somebody's"))),
        (200, with(&listing, "internalListingName", json!("villa-2 of somebody"))),
        (200, success(&json!({ "id": FIRST }))),
        (404, gone),
        (422, refused),
    ] {
        let sandbox = Sandbox::start().await;
        let bench = Bench::new(&sandbox);
        let mut listing = Listing::new("villa-1");
        tells_ids_alone(&sandbox).await;
        shows(&sandbox, code, &shown).await;
        is_left_to_a_person(&bench.push(&listing, &Section::ALL).await);
        // The next change, where the channel does not list it by our reference either.
        listing.unproved = Some(id());
        listing.set_content("cleaningFee", json!(61.0));
        lists_nothing(&sandbox).await;
        is_left_to_a_person(&bench.verify(&listing, &Section::ALL).await);
        assert_eq!((sandbox.listings().await.len(), bench.slots.creations.load(Ordering::SeqCst)), (1, 1));
        sandbox.heal().await;
        let report = bench.verify(&listing, &Section::ALL).await;
        assert_eq!(report.class, OutcomeClass::Accepted, "it is found by our reference: {report:?}");
        assert_eq!((report.progress.external_id, report.progress.unproved), (Some(id()), None));
        assert_eq!((sandbox.listings().await.len(), bench.slots.creations.load(Ordering::SeqCst)), (1, 1));
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_looked_at_now_is_looked_at_by_the_next_attempt() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let mut listing = Listing::new("villa-1");
    tells_ids_alone(&sandbox).await;
    shows(&sandbox, 503, &Value::Null).await;
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Transient, "{report:?}");
    assert_eq!(report.progress, Progress { unproved: Some(id()), ..Progress::default() });
    sandbox.heal().await;

    lists_nothing(&sandbox).await;
    listing.unproved = Some(id());
    bench.slots.not_ours = Some(NotOurs::Held("it is the listing of another unit".to_owned()));
    let report = bench.verify(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Rejected, "{report:?}");
    assert_eq!(report.progress, Progress { unproved: Some(id()), ..Progress::default() });
    bench.slots.not_ours = None;
    let report = bench.verify(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!((report.progress.external_id, report.progress.unproved), (Some(id()), None));
    assert_eq!((sandbox.listings().await.len(), bench.slots.creations.load(Ordering::SeqCst)), (1, 1));
}
