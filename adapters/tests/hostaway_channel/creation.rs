//! A listing that has no id yet: created once, found again by our reference, never created twice.

use std::sync::atomic::Ordering;

use chrono::{TimeDelta, Utc};
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::mapping::hostaway::reference;
use domain::outcome::OutcomeClass;
use domain::port::NotOurs;
use serde_json::{Value, json};

use crate::fixture::{Bench, Listing, night};
use crate::sandbox::{SECRET, Sandbox};
use crate::slots::End;

#[tokio::test]
async fn a_new_listing_goes_up_whole_and_every_call_has_a_slot_and_a_record() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::new("villa-1");
    let report = bench.push(&listing, &Section::ALL).await;

    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(report.progress.sections, listing.payload.hashes());
    let purposes: Vec<CallPurpose> = report.calls.iter().map(|call| call.purpose).collect();
    use CallPurpose::{Calendar, Create, Lookup, ReadBack, Token};
    assert_eq!(purposes, [Token, Lookup, Create, Calendar, ReadBack]);
    assert_eq!(bench.slots.purposes(), purposes);
    assert!(bench.slots.taken().iter().all(|slot| slot.end == End::Answered));
    assert_eq!(bench.slots.creations.load(Ordering::SeqCst), 1);

    let seen: Vec<Value> = sandbox.arrivals().await.iter().map(|call| call["request_id"].clone()).collect();
    let sent: Vec<Value> = report.calls.iter().map(|call| json!(call.request_id)).collect();
    assert_eq!(seen, sent);

    let listings = sandbox.listings().await;
    assert_eq!(listings.len(), 1);
    assert_eq!(listings[0]["internalListingName"], reference(&listing.unit, &listing.id));
    assert_eq!(listings[0]["listingImages"].as_array().unwrap().len(), 3);
    let id = report.progress.external_id.as_ref().unwrap().to_string();
    assert_eq!(listings[0]["id"].to_string(), id);
    let days = sandbox.days(&id, &night(30), &night(31)).await;
    assert_eq!((&days[0]["isAvailable"], &days[1]["isAvailable"]), (&json!(1), &json!(0)));
    assert_eq!(days[0]["price"], 99.0);

    let shown = format!("{report:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("eyJ"), "no secret and no token in a report");
}

#[tokio::test]
async fn a_creation_whose_answer_was_cut_off_is_adopted_not_repeated() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::new("villa-1");
    sandbox.fault(json!({ "method": "POST", "path_prefix": "/v1/listings", "kind": "cut_after", "count": 1 })).await;

    let first = bench.push(&listing, &Section::ALL).await;
    assert_eq!(first.class, OutcomeClass::Unknown, "{first:?}");
    assert_eq!(first.progress.external_id, None);

    let second = bench.verify(&listing, &Section::ALL).await;
    assert_eq!(second.class, OutcomeClass::Accepted, "{second:?}");
    assert_eq!(second.progress.sections, listing.payload.hashes());
    assert!(second.detail.unwrap().contains("adopted"));
    assert_eq!(sandbox.listings().await.len(), 1);
    assert_eq!(bench.slots.creations.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn only_exactly_our_reference_is_ours_and_the_lowest_id_of_several_is_taken() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::new("villa-1");
    let ours = reference(&listing.unit, &listing.id);
    let named = |name: String| json!({ "name": "Other", "externalListingName": "Other", "internalListingName": name });
    let foreign = sandbox.foreign_client().await;
    // More than a page of copies that merely contain the reference.
    for copy in 0..120 {
        foreign.create(named(format!("copy {copy} of {ours}"))).await;
    }
    let lowest = foreign.create(named(ours.clone())).await;
    let other = foreign.create(named(ours.clone())).await;

    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(report.progress.external_id.unwrap().0, lowest);
    assert!(report.detail.unwrap().contains(&other));
    assert_eq!(sandbox.listings().await.len(), 122);
}

/// It was given to another listing, which has not been sent yet: our reference is on it.
#[tokio::test]
async fn nothing_is_written_to_a_listing_that_is_found_and_is_another_ones() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let listing = Listing::new("villa-1");
    let ours = reference(&listing.unit, &listing.id);
    let named = json!({ "name": "Other", "externalListingName": "Other", "internalListingName": ours });
    sandbox.foreign_client().await.create(named).await;
    let before = sandbox.listings().await;
    let words = "it is the listing of another unit".to_owned();
    for (why, class) in [
        (NotOurs::Held(words.clone()), OutcomeClass::Rejected),
        // Nobody could say: that may be another time.
        (NotOurs::Unknown(words.clone()), OutcomeClass::Stopped),
    ] {
        bench.slots.not_ours = Some(why);
        let report = bench.push(&listing, &Section::ALL).await;
        assert_eq!((report.class, report.detail.as_deref()), (class, Some(words.as_str())), "{report:?}");
        assert_eq!(report.progress, domain::listing::Progress::default());
        // Each time it is looked for first, so not at once.
        let waits = report.retry_at.map(|at| at > Utc::now() + TimeDelta::seconds(30));
        assert_eq!(waits, (class == OutcomeClass::Stopped).then_some(true));
    }
    assert_eq!(sandbox.listings().await, before);
    bench.slots.not_ours = None;
    assert_eq!(bench.push(&listing, &Section::ALL).await.class, OutcomeClass::Accepted, "it is ours");
}

#[tokio::test]
async fn nothing_is_created_where_no_slot_is_given_for_it() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    bench.slots.refuse_creation = true;
    let report = bench.push(&Listing::new("villa-1"), &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Stopped);
    assert!(report.retry_at.is_some());
    assert_eq!(sandbox.calls().await, ["GET /v1/listings"]);
}

#[tokio::test]
async fn a_refused_creation_ends_with_the_channels_words() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::new("villa-1");
    listing.set_content("cancellationPolicy", json!("whatever"));
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Rejected);
    assert!(report.detail.unwrap().contains("cancellationPolicy"));
    assert_eq!(report.progress, domain::listing::Progress::default());
    assert_eq!(sandbox.calls().await, ["GET /v1/listings", "POST /v1/listings"]);
}

#[tokio::test]
async fn a_bad_photo_does_not_keep_a_new_listing_out() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::new("villa-1");
    listing.set(Section::Images, json!([{ "url": "nowhere", "sortOrder": 1 }]));
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::AcceptedWithRejections, "{report:?}");
    assert_eq!(report.rejected.iter().map(|part| part.section).collect::<Vec<_>>(), [Section::Images]);
    assert!(!report.progress.sections.contains_key(&Section::Images));
    assert_eq!(report.progress.sections.len(), 3);
    assert_eq!(sandbox.listings().await.len(), 1);
}
