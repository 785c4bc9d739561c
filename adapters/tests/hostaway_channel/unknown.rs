//! A write whose answer did not come: the channel is read before anything is sent again.

use domain::channel::Section;
use domain::outcome::OutcomeClass;
use serde_json::json;

use crate::fixture::{Bench, Listing, night, nights};
use crate::sandbox::Sandbox;

#[tokio::test]
async fn content_that_was_applied_is_not_sent_again() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::impatient(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    sandbox
        .fault(json!({ "method": "PUT", "path_pattern": "/v1/listings/*", "kind": "hang", "seconds": 30.0, "apply": true, "count": 1 }))
        .await;
    listing.set_content("cleaningFee", json!(61.0));
    let report = bench.push(&listing, &[Section::Content]).await;
    assert_eq!(report.class, OutcomeClass::Unknown, "{report:?}");
    assert_eq!(report.calls[0].status, None);
    assert!(report.progress.sections.is_empty());

    let before = sandbox.calls().await.len();
    let report = bench.verify(&listing, &[Section::Content]).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert!(report.progress.sections.contains_key(&Section::Content));
    assert_eq!(sandbox.calls().await[before..], [format!("GET /v1/listings/{}", listing.external())]);
}

#[tokio::test]
async fn nights_that_were_not_applied_are_sent_and_those_that_were_are_not() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::impatient(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    sandbox
        .fault(
            json!({ "path_pattern": "/v1/listings/*/calendarIntervals", "kind": "hang", "seconds": 30.0, "count": 1 }),
        )
        .await;
    listing.set(Section::Rates, json!([nights(0, 1, "price", 300.0), nights(2, 3, "price", 310.0)]));
    let needs = [Section::Availability, Section::Rates];
    let report = bench.push(&listing, &needs).await;
    assert_eq!(report.class, OutcomeClass::Unknown, "{report:?}");

    let before = sandbox.calls().await.len();
    let report = bench.verify(&listing, &needs).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(report.progress.sections.len(), 2);
    let id = listing.external();
    let read = format!("GET /v1/listings/{id}/calendar");
    let write = format!("PUT /v1/listings/{id}/calendarIntervals");
    assert_eq!(sandbox.calls().await[before..], [read.clone(), write, read]);
    // The one write carried the rates alone: availability was there.
    assert_eq!(bench.slots.taken().iter().rev().nth(1).unwrap().urgency, Section::Rates);
    assert_eq!(sandbox.days(id, &night(3), &night(3)).await[0]["price"], 310.0);
}
