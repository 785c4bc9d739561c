//! What the channel refuses, openly or silently: a bad part stops that part, not the listing.

use domain::channel::{RejectedPart, Section};
use domain::outcome::OutcomeClass;
use serde_json::json;

use crate::fixture::{Bench, Listing, night, nights, photos};
use crate::sandbox::Sandbox;

#[tokio::test]
async fn refused_content_stops_neither_the_calendar_nor_the_photos() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    listing.set_content("cancellationPolicy", json!("whatever"));
    listing.set(Section::Images, photos(5));
    listing.set(Section::Availability, json!([nights(0, 60, "isAvailable", 0)]));
    let report = bench.push(&listing, &[Section::Availability, Section::Content, Section::Images]).await;
    assert_eq!(report.class, OutcomeClass::AcceptedWithRejections, "{report:?}");
    let accepted: Vec<Section> = report.progress.sections.keys().copied().collect();
    assert_eq!(accepted, [Section::Availability, Section::Images]);
    let [RejectedPart { section: Section::Content, part, value, reason }] = &report.rejected[..] else {
        panic!("one refusal is wanted: {:?}", report.rejected);
    };
    assert_eq!((part.as_str(), value.as_str()), ("listing", ""));
    assert!(reason.contains("cancellationPolicy"), "{reason}");
    assert_eq!(sandbox.listings().await[0]["listingImages"].as_array().unwrap().len(), 5);
    assert_eq!(sandbox.days(listing.external(), &night(0), &night(0)).await[0]["isAvailable"], 0);
}

/// As frameworks refuse a body before the channel's own code has seen it.
#[tokio::test]
async fn a_400_with_words_in_json_refuses_the_part_as_the_channels_own_form_does() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    listing.set_content("cleaningFee", json!(61.0));
    listing.set(Section::Images, photos(5));
    let body = json!({ "statusCode": 400, "message": ["name is too long"], "error": "Bad Request" });
    let whole = json!({ "method": "PUT", "path_pattern": "/v1/listings/*", "kind": "status", "code": 400, "body": body, "count": 2 });
    sandbox.fault(whole).await;
    let report = bench.push(&listing, &[Section::Content, Section::Images]).await;
    assert_eq!(report.class, OutcomeClass::AcceptedWithRejections, "{report:?}");
    let refused: Vec<Section> = report.rejected.iter().map(|part| part.section).collect();
    let accepted: Vec<Section> = report.progress.sections.keys().copied().collect();
    assert_eq!((refused, accepted), (vec![Section::Content], vec![Section::Images]), "{report:?}");
}

#[tokio::test]
async fn what_is_answered_with_success_and_ignored_is_named() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    sandbox.fault(json!({ "method": "PUT", "path_pattern": "/v1/listings/*", "kind": "ignore_writes" })).await;
    listing.set_content("cleaningFee", json!(77.0));
    listing.set(Section::Images, photos(6));
    let report = bench.push(&listing, &[Section::Content, Section::Images]).await;
    assert_eq!(report.class, OutcomeClass::AcceptedWithRejections, "{report:?}");
    let parts: Vec<&str> = report.rejected.iter().map(|part| part.part.as_str()).collect();
    assert_eq!(parts, ["listing.cleaningFee", "listing.listingImages"]);
    assert_eq!(report.progress.sections.len(), 2, "sending them again would not help");
}

#[tokio::test]
async fn an_archived_listing_refuses_everything() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.archive(listing.external()).await;
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Rejected, "{report:?}");
    assert!(report.progress.sections.is_empty());
    assert!(report.detail.unwrap().contains("archived"));
}

#[tokio::test]
async fn a_listing_that_is_gone_ends_the_push_at_once() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.foreign_client().await.delete(listing.external()).await;
    let before = sandbox.calls().await.len();
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Rejected, "{report:?}");
    assert!(report.detail.unwrap().contains("gone"));
    assert_eq!(sandbox.calls().await.len(), before + 1);
}

#[tokio::test]
async fn an_empty_list_is_never_sent_because_it_deletes() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    let before = sandbox.calls().await.len();
    for (section, body) in [
        (Section::Images, json!([])),
        (Section::Availability, json!([])),
        (Section::Rates, json!([{ "startDate": night(0), "endDate": night(1), "price": null }])),
        (Section::Content, json!({ "name": "Loft", "listingAmenities": [] })),
    ] {
        listing.set(section, body);
    }
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Rejected, "{report:?}");
    let refused: Vec<_> = report.rejected.iter().map(|part| (part.section, part.part.as_str())).collect();
    let [availability, rates, content, images] = Section::ALL;
    let named = [(availability, "calendar"), (rates, "calendar"), (content, "listing"), (images, "listing")];
    assert_eq!(refused, named, "each by where it stands at the channel");
    assert!(report.detail.unwrap().contains("listingAmenities"));
    assert_eq!(sandbox.calls().await.len(), before, "nothing was sent");
    assert_eq!(sandbox.listings().await[0]["listingImages"].as_array().unwrap().len(), 3);
}
