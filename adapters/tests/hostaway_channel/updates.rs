//! A listing that exists: only what is needed is sent, most urgent first.

use domain::channel::Section;
use domain::ids::ExternalId;
use domain::outcome::OutcomeClass;
use serde_json::json;

use crate::fixture::{Bench, Listing, photos};
use crate::sandbox::Sandbox;

#[tokio::test]
async fn only_the_needed_sections_are_sent_content_and_photos_in_one_call() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    let before = sandbox.calls().await.len();
    let id = listing.external().to_owned();

    listing.set(Section::Images, photos(2));
    let report = bench.push(&listing, &[Section::Images]).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(report.progress.sections.keys().copied().collect::<Vec<_>>(), [Section::Images]);
    assert_eq!(sandbox.calls().await[before..], [format!("PUT /v1/listings/{id}")]);

    listing.set(Section::Images, photos(4));
    listing.set_content("cleaningFee", json!(60.5));
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(report.progress.sections, listing.payload.hashes());
    let expected = [
        format!("PUT /v1/listings/{id}"),
        format!("PUT /v1/listings/{id}/calendarIntervals"),
        format!("GET /v1/listings/{id}/calendar"),
        format!("PUT /v1/listings/{id}"),
    ];
    assert_eq!(sandbox.calls().await[before..], expected);
    let stored = &sandbox.listings().await[0];
    assert_eq!(stored["cleaningFee"], 60.5);
    assert_eq!(stored["listingImages"].as_array().unwrap().len(), 4);
    assert_eq!(sandbox.token_calls().await, 1);
}

#[tokio::test]
async fn nothing_needed_is_nothing_sent() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    let before = sandbox.arrivals().await.len();
    let report = bench.push(&listing, &[]).await;
    assert_eq!((report.class, report.calls.len()), (OutcomeClass::Accepted, 0));
    assert_eq!(sandbox.arrivals().await.len(), before);
}

#[tokio::test]
async fn an_id_that_is_no_number_never_becomes_part_of_a_path() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::new("villa-1");
    listing.external_id = Some(ExternalId("1/../2".to_owned()));
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Rejected);
    assert!(sandbox.arrivals().await.is_empty());
}
