//! The bodies that are made again for people are, byte for byte as far as the sandbox counts them, those that were sent.

use std::collections::BTreeMap;

use domain::call::CallPurpose;
use domain::channel::{ChannelKind, Section};
use domain::mapping::{Sent, request_bodies, sent_apart};
use domain::port::PushReport;
use serde_json::{Value, json};

use crate::fixture::{Bench, Listing, nights, photos};
use crate::sandbox::Sandbox;

/// The bodies by the request's id. Each that is made again has the length of what arrived.
async fn made_again(
    sandbox: &Sandbox,
    listing: &Listing,
    sent: Sent<'_>,
    report: &PushReport,
) -> BTreeMap<usize, Value> {
    let arrivals = sandbox.arrivals().await;
    let bodies = listing.payload.bodies();
    let made = request_bodies(ChannelKind::Hostaway, &bodies, &sent, &report.calls);
    for (index, body) in &made {
        let call = &report.calls[*index];
        let arrived = arrivals.iter().find(|arrival| arrival["request_id"] == json!(call.request_id)).unwrap();
        assert_eq!(arrived["body_bytes"], body.to_string().len(), "{call:?} had another body than {body}");
    }
    made
}

/// Every call that writes has its body.
async fn all_made_again(sandbox: &Sandbox, listing: &Listing, sent: Sent<'_>, report: &PushReport) -> Vec<Value> {
    let made = made_again(sandbox, listing, sent, report).await;
    let writes = |purpose| {
        matches!(purpose, CallPurpose::Create | CallPurpose::Content | CallPurpose::Images | CallPurpose::Calendar)
    };
    let wanted: Vec<usize> =
        report.calls.iter().enumerate().filter(|(_, call)| writes(call.purpose)).map(|(index, _)| index).collect();
    assert_eq!(made.keys().copied().collect::<Vec<_>>(), wanted, "{:?}", report.calls);
    made.into_values().collect()
}

const fn known(needs: &[Section]) -> Sent<'_> {
    Sent { needs, exists: true, verified: false }
}

#[tokio::test]
async fn the_body_of_a_creation_and_of_each_update_is_made_again() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::new("villa-1");
    let report = bench.push(&listing, &Section::ALL).await;
    let created = Sent { needs: &Section::ALL, exists: false, verified: false };
    let bodies = all_made_again(&sandbox, &listing, created, &report).await;
    assert_eq!(bodies[0]["listingImages"].as_array().unwrap().len(), 3);
    listing.external_id = report.progress.external_id;

    listing.set(Section::Availability, json!([nights(0, 30, "isAvailable", 0)]));
    let needs = [Section::Availability];
    let report = bench.push(&listing, &needs).await;
    let bodies = all_made_again(&sandbox, &listing, known(&needs), &report).await;
    assert_eq!(bodies, [nights(0, 30, "isAvailable", 0)], "one interval has a call of its own");

    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(all_made_again(&sandbox, &listing, known(&Section::ALL), &report).await.len(), 2);
}

#[tokio::test]
async fn what_was_sent_apart_after_a_refusal_is_made_again_apart() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    listing.set_content("cancellationPolicy", json!("whatever"));
    listing.set(Section::Images, photos(5));
    listing.set(Section::Availability, json!([nights(0, 60, "isAvailable", 0)]));
    listing.set(Section::Rates, json!([nights(0, 60, "price", -1)]));
    let report = bench.push(&listing, &Section::ALL).await;
    let bodies = all_made_again(&sandbox, &listing, known(&Section::ALL), &report).await;
    assert!(
        bodies.len() >= 5,
        "both sections of nights, then content with photos, then each alone: {:?}",
        report.calls
    );
    assert_eq!(bodies.last(), Some(&json!({ "listingImages": photos(5) })));
    let whole = sent_apart(ChannelKind::Hostaway, &listing.payload.bodies(), &known(&Section::ALL), &report.calls);
    let purposes: Vec<CallPurpose> = whole.iter().map(|index| report.calls[*index].purpose).collect();
    assert_eq!(purposes, [CallPurpose::Calendar, CallPurpose::Content], "{:?}", report.calls);
}

#[tokio::test]
async fn a_call_that_was_made_once_more_with_a_new_token_had_the_same_body() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.fault(json!({ "method": "PUT", "kind": "status", "code": 403, "count": 1 })).await;
    let report = bench.push(&listing, &Section::ALL).await;
    let bodies = all_made_again(&sandbox, &listing, known(&Section::ALL), &report).await;
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn what_may_have_been_left_out_is_not_guessed() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    // Availability is there; rates are not.
    listing.set(Section::Rates, json!([nights(0, 20, "price", 155.0), nights(21, 60, "price", 99.0)]));
    let report = bench.verify(&listing, &Section::ALL).await;
    let sent = Sent { needs: &Section::ALL, exists: true, verified: true };
    let made = made_again(&sandbox, &listing, sent, &report).await;
    let calendar = report.calls.iter().position(|call| call.purpose == CallPurpose::Calendar).unwrap();
    assert!(!made.contains_key(&calendar), "{made:?}");
    let photos = report.calls.iter().position(|call| call.purpose == CallPurpose::Images).unwrap();
    assert!(made.contains_key(&photos), "photos are sent whatever is there");
}
