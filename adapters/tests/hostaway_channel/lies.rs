//! A channel, or what stands before it, that answers with success and says nothing, or says something else than it did: none
//! of it is taken for an end.

use domain::call::CallPurpose;
use domain::channel::{Bodies, Section};
use domain::ids::ExternalId;
use domain::listing::Progress;
use domain::mapping::hostaway::reference;
use domain::outcome::OutcomeClass;
use domain::port::{Channel as _, NotOurs, PushReport, ReadReport, Reading};
use serde_json::{Value, json};

use crate::fixture::{Bench, Listing, night, nights};
use crate::sandbox::Sandbox;

const UNREAD: &str = "the answer cannot be read";

fn unread(report: &PushReport, class: OutcomeClass) {
    assert_eq!(report.class, class, "{report:?}");
    let call = report.calls.last().expect("a call was made");
    assert_eq!((call.class, call.status), (class, Some(200)), "{report:?}");
    assert!(call.detail.as_deref().is_some_and(|detail| detail.starts_with(UNREAD)), "{report:?}");
    assert!(call.answer.is_some(), "what was answered is kept: {report:?}");
    assert!(report.rejected.is_empty(), "nothing was refused: {report:?}");
}

async fn read(bench: &Bench, listing: &Listing) -> ReadReport {
    let sections = listing.payload.sections.iter();
    let sent: Bodies<'_> = sections.map(|(section, payload)| (*section, &payload.body)).collect();
    let external_id = listing.external_id.as_ref().expect("it is created");
    let reading = Reading { target: &bench.target, external_id, sent: &sent };
    bench.hostaway.read(reading, &bench.slots).await
}

#[tokio::test]
async fn an_id_that_comes_without_our_reference_is_not_written_to() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let other = Listing::created("villa-1", &bench).await;
    let listing = Listing::new("villa-2");
    let theirs = other.external().parse::<u64>().unwrap();
    let named = reference(&other.unit, &other.id);
    for (said, is_told) in [
        (json!({ "id": theirs, "name": "x" }), true),
        (json!({ "id": theirs, "internalListingName": named }), true),
        (json!({ "name": "x" }), false),
        (Value::Null, false),
    ] {
        let body = json!({ "status": "success", "result": said });
        let lie = json!({ "method": "POST", "path_prefix": "/v1/listings", "kind": "lie", "code": 200, "body": body });
        sandbox.fault(lie).await;
        let report = bench.push(&listing, &Section::ALL).await;
        let unproved = is_told.then(|| ExternalId(theirs.to_string()));
        if is_told {
            assert_eq!(report.class, OutcomeClass::Rejected, "{report:?}");
        } else {
            unread(&report, OutcomeClass::Unknown);
        }
        assert_eq!(report.progress, Progress { unproved, ..Progress::default() });
        sandbox.heal().await;

        let report = bench.verify(&listing, &Section::ALL).await;
        assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
        let id = report.progress.external_id.expect("it was found").0;
        assert_ne!(id, other.external());
        let there = sandbox.listings().await;
        assert_eq!(there.len(), 2, "none was made twice: {there:?}");
        assert_eq!(there[0]["internalListingName"], json!(named), "nothing was written to the other one");
        sandbox.foreign_client().await.delete(&id).await;
    }
}

#[tokio::test]
async fn a_look_up_without_a_list_does_not_say_that_nothing_is_there() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::new("villa-1");
    sandbox.fault(json!({ "method": "POST", "path_prefix": "/v1/listings", "kind": "cut_after", "count": 1 })).await;
    assert_eq!(bench.push(&listing, &Section::ALL).await.class, OutcomeClass::Unknown);
    let ours = json!({ "id": "none", "internalListingName": reference(&listing.unit, &listing.id) });
    for said in [
        json!({ "status": "success" }),
        json!({ "status": "success", "result": null }),
        json!({ "status": "success", "result": {} }),
        json!({ "status": "success", "count": 1, "result": [ours] }),
        json!({ "status": "success", "count": 1, "result": [{ "id": "?" }] }),
    ] {
        sandbox.fault(json!({ "method": "GET", "kind": "status", "code": 200, "body": said })).await;
        unread(&bench.verify(&listing, &Section::ALL).await, OutcomeClass::Transient);
        sandbox.heal().await;
        assert_eq!(sandbox.listings().await.len(), 1, "{said}");
    }
    let report = bench.verify(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(sandbox.listings().await.len(), 1);
}

/// What is counted with the filter is not documented; without it, ours may be among those that are counted and not told.
#[tokio::test]
async fn an_empty_list_that_counts_more_does_not_say_that_nothing_is_there() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::new("villa-1");
    let said = |count: Value, listed: Value, times: u64| {
        let body = json!({ "status": "success", "count": count, "result": listed });
        json!({ "method": "GET", "path_pattern": "/v1/listings", "kind": "status", "code": 200, "body": body, "count": times })
    };
    sandbox.fault(json!({ "method": "POST", "path_prefix": "/v1/listings", "kind": "cut_after", "count": 1 })).await;
    assert_eq!(bench.push(&listing, &Section::ALL).await.class, OutcomeClass::Unknown);
    for count in [json!(5_000), json!("5000")] {
        // With the filter, and without.
        sandbox.fault(said(count, json!([]), 2)).await;
        let report = bench.verify(&listing, &Section::ALL).await;
        unread(&report, OutcomeClass::Transient);
        assert_eq!(report.calls.iter().filter(|call| call.purpose == CallPurpose::Lookup).count(), 2, "{report:?}");
        assert_eq!(sandbox.listings().await.len(), 1);
    }
    let report = bench.verify(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(sandbox.listings().await.len(), 1);
    // Nothing of this one can be there.
    sandbox.fault(said(json!(5_000), json!([]), 1)).await;
    let report = bench.push(&Listing::new("villa-2"), &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(sandbox.listings().await.len(), 2);
}

/// Whatever is counted or lacks an id there, it keeps no target from its work.
#[tokio::test]
async fn a_check_is_answered_by_any_list() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    for (result, class) in [
        (json!([{ "id": "?" }]), OutcomeClass::Accepted),
        (json!([]), OutcomeClass::Accepted),
        (json!({}), OutcomeClass::Transient),
    ] {
        let body = json!({ "status": "success", "count": 5_000, "result": result });
        sandbox.fault(json!({ "method": "GET", "kind": "status", "code": 200, "body": body })).await;
        let check = bench.hostaway.check(&bench.target, &bench.slots).await;
        assert_eq!((check.class, check.credentials_refused), (class, false), "{check:?}");
        sandbox.heal().await;
    }
}

/// The answer has our reference, and the id of a listing that another one of ours holds.
#[tokio::test]
async fn an_id_that_comes_with_our_reference_and_is_another_ones_is_not_written_to() {
    let why = "it is the listing of another unit".to_owned();
    for (not_ours, class) in [
        (NotOurs::Held(why.clone()), OutcomeClass::Rejected),
        // Nobody could say: that may be another time.
        (NotOurs::Unknown(why.clone()), OutcomeClass::Stopped),
    ] {
        let sandbox = Sandbox::start().await;
        let mut bench = Bench::new(&sandbox);
        let other = Listing::created("villa-1", &bench).await;
        let mut listing = Listing::new("villa-2");
        let theirs = other.external().parse::<u64>().unwrap();
        let said = json!({ "id": theirs, "internalListingName": reference(&listing.unit, &listing.id) });
        let body = json!({ "status": "success", "result": said });
        let lie = json!({ "method": "POST", "path_prefix": "/v1/listings", "kind": "lie", "code": 200, "body": body });
        sandbox.fault(lie).await;
        bench.slots.not_ours = Some(not_ours);
        let report = bench.push(&listing, &Section::ALL).await;
        assert_eq!((report.class, report.detail.as_deref()), (class, Some(why.as_str())), "{report:?}");
        let unproved = Some(ExternalId(theirs.to_string()));
        assert_eq!(report.progress, Progress { unproved: unproved.clone(), ..Progress::default() });
        assert_eq!(report.calls.last().map(|call| call.purpose), Some(CallPurpose::Create), "nothing is sent after it");
        sandbox.heal().await;

        bench.slots.not_ours = None;
        listing.unproved = unproved;
        let report = bench.verify(&listing, &Section::ALL).await;
        assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
        let to_theirs = format!("/v1/listings/{theirs}");
        assert!(report.calls.iter().all(|call| !call.path.starts_with(&to_theirs)), "{report:?}");
        assert_ne!(report.progress.external_id.expect("it was found").0, other.external());
        let there = sandbox.listings().await;
        assert_eq!(there.len(), 2, "none was made twice: {there:?}");
        assert_eq!(there[0]["internalListingName"], json!(reference(&other.unit, &other.id)));
    }
}

#[tokio::test]
async fn a_success_without_the_listing_refuses_no_field_of_it() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    let other = Listing::created("villa-2", &bench).await;
    listing.set_content("cleaningFee", json!(61.0));
    for said in [Value::Null, json!([]), json!({}), json!({ "id": other.external() })] {
        let body = json!({ "status": "success", "result": said });
        let path = "/v1/listings/*";
        sandbox.fault(json!({ "path_pattern": path, "kind": "status", "code": 200, "body": body })).await;
        unread(&bench.push(&listing, &[Section::Content]).await, OutcomeClass::Unknown);
        // Nor does a look that is answered so.
        unread(&bench.verify(&listing, &[Section::Content]).await, OutcomeClass::Transient);
        let report = read(&bench, &listing).await;
        assert_eq!((report.class, report.found.is_none()), (OutcomeClass::Transient, true), "{report:?}");
        sandbox.heal().await;
    }
    let report = bench.verify(&listing, &[Section::Content]).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(sandbox.listings().await[0]["cleaningFee"], 61.0);
}

#[tokio::test]
async fn nights_that_are_not_told_when_they_are_read_back_are_not_refused() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    listing.set(Section::Rates, json!([nights(0, 1, "price", 300.0), nights(2, 3, "price", 310.0)]));
    let (path, said) = ("/v1/listings/*/calendar", json!({ "status": "success", "result": null }));
    let lie = json!({ "method": "GET", "path_pattern": path, "kind": "lie", "code": 200, "body": said });
    sandbox.fault(lie).await;
    let report = bench.push(&listing, &[Section::Rates]).await;
    unread(&report, OutcomeClass::Transient);
    assert!(report.progress.sections.is_empty(), "{report:?}");
    assert_eq!(sandbox.days(listing.external(), &night(3), &night(3)).await[0]["price"], 310.0, "they were taken");
    let report = read(&bench, &listing).await;
    assert_eq!((report.class, report.found.is_none()), (OutcomeClass::Transient, true), "{report:?}");
    sandbox.heal().await;
    assert_eq!(bench.verify(&listing, &[Section::Rates]).await.class, OutcomeClass::Accepted);
}

/// What a gateway says that has lost its channel is no word of the channel's about a listing.
#[tokio::test]
async fn a_page_in_place_of_the_channel_is_an_outage() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    listing.set_content("cleaningFee", json!(61.0));
    let pages = [json!("<html><h1>404 Not Found</h1>nginx</html>"), json!(""), json!({ "message": "no Route" })];
    let said = [404, 400, 405].into_iter().flat_map(|code| pages.iter().map(move |page| (code, page)));
    // A 400 with words in JSON is the channel's.
    for (code, page) in said.filter(|(code, page)| *code != 400 || page.is_string()) {
        sandbox.fault(json!({ "path_prefix": "/v1/listings", "kind": "status", "code": code, "body": page })).await;
        let report = bench.push(&listing, &[Section::Content]).await;
        assert_eq!(report.class, OutcomeClass::Transient, "{code} {page}: {report:?}");
        assert_eq!(report.calls.last().and_then(|call| call.status), Some(code));
        let detail = report.detail.unwrap_or_default();
        assert!(detail.contains("not in the form of the channel's answers") && !detail.contains("gone"), "{detail}");
        assert!(report.rejected.is_empty());
        let check = bench.hostaway.check(&bench.target, &bench.slots).await;
        assert_eq!((check.class, check.credentials_refused), (OutcomeClass::Transient, false), "{check:?}");
        // What stands behind it may have been reached all the same.
        let report = bench.push(&Listing::new("villa-9"), &Section::ALL).await;
        assert_eq!(report.class, OutcomeClass::Transient, "the look-up: {report:?}");
        sandbox.heal().await;
    }
    let lie = json!({ "method": "POST", "path_prefix": "/v1/listings", "kind": "lie", "code": 404, "body": pages[0] });
    sandbox.fault(lie).await;
    let made = Listing::new("villa-9");
    assert_eq!(bench.push(&made, &Section::ALL).await.class, OutcomeClass::Unknown, "it may have been made");
    sandbox.heal().await;
    assert_eq!(bench.verify(&made, &Section::ALL).await.class, OutcomeClass::Accepted);
    assert_eq!(sandbox.listings().await.len(), 2);

    assert_eq!(bench.push(&listing, &[Section::Content]).await.class, OutcomeClass::Accepted);
    listing.external_id = Some(ExternalId("39999".to_owned()));
    let report = bench.push(&listing, &[Section::Content]).await;
    assert_eq!(report.class, OutcomeClass::Rejected, "in its own form it is the channel's word: {report:?}");
    assert!(report.detail.is_some_and(|detail| detail.contains("gone")));
}

/// Nor are credentials refused by it.
#[tokio::test]
async fn a_page_in_place_of_the_token_endpoint_is_an_outage() {
    let sandbox = Sandbox::start().await;
    for code in [400, 404] {
        let bench = Bench::new(&sandbox);
        let page = "<html>nginx</html>";
        sandbox.fault(json!({ "path_prefix": "/v1/accessTokens", "kind": "status", "code": code, "body": page })).await;
        let check = bench.hostaway.check(&bench.target, &bench.slots).await;
        assert_eq!((check.class, check.credentials_refused), (OutcomeClass::Transient, false), "{check:?}");
        sandbox.heal().await;
    }
    let bench = Bench::new(&sandbox);
    let refusal = json!({ "error": "invalid_client" });
    sandbox.fault(json!({ "path_prefix": "/v1/accessTokens", "kind": "status", "code": 400, "body": refusal })).await;
    let check = bench.hostaway.check(&bench.target, &bench.slots).await;
    assert_eq!((check.class, check.credentials_refused), (OutcomeClass::Unauthorised, true), "{check:?}");
}
