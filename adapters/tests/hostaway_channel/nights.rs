//! The calendar: split at 200 intervals, read back, and held against what a reservation keeps.

use domain::channel::Section;
use domain::outcome::OutcomeClass;
use serde_json::{Value, json};

use crate::fixture::{Bench, Listing, night, nights};
use crate::sandbox::Sandbox;

const NIGHTS: [Section; 2] = [Section::Availability, Section::Rates];

#[tokio::test]
async fn one_interval_verifies_itself_by_its_answer() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    let before = sandbox.calls().await.len();
    listing.set(Section::Availability, json!([nights(3, 5, "isAvailable", 0)]));
    let report = bench.push(&listing, &[Section::Availability]).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(sandbox.calls().await[before..], [format!("PUT /v1/listings/{}/calendar", listing.external())]);
    let days = sandbox.days(listing.external(), &night(2), &night(6)).await;
    assert_eq!(days.iter().map(|day| day["isAvailable"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 0, 0, 0, 1]);
}

#[tokio::test]
async fn a_year_of_different_nights_is_split_and_availability_goes_first() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    let before = sandbox.calls().await.len();
    let available = |n: u64| nights(n, n, "isAvailable", n % 2);
    let priced = |n: u64| nights(n, n, "price", 100 + n);
    listing.set(Section::Availability, (0..365).map(available).collect());
    listing.set(Section::Rates, (0..365).map(priced).collect());
    let report = bench.push(&listing, &NIGHTS).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");

    let put = format!("PUT /v1/listings/{}/calendarIntervals", listing.external());
    let get = format!("GET /v1/listings/{}/calendar", listing.external());
    assert_eq!(sandbox.calls().await[before..], [&put, &put, &put, &put, &get].map(String::clone));
    let urgencies: Vec<Section> = bench.slots.taken().iter().rev().skip(1).take(4).map(|slot| slot.urgency).collect();
    use Section::{Availability, Rates};
    assert_eq!(urgencies, [Rates, Rates, Availability, Availability], "latest first");
    let days = sandbox.days(listing.external(), &night(0), &night(364)).await;
    assert!((0..365).all(|n| days[n]["isAvailable"] == n % 2 && days[n]["price"].as_f64() == Some(100.0 + n as f64)));
}

#[tokio::test]
async fn a_price_that_a_reservation_keeps_back_is_shown_and_expected() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    sandbox.reserve(listing.external(), &night(10), &night(12)).await;
    listing.set(Section::Rates, json!([nights(0, 20, "price", 200.0), nights(21, 60, "price", 210.0)]));
    let report = bench.push(&listing, &[Section::Rates]).await;
    assert_eq!(report.class, OutcomeClass::Accepted, "{report:?}");
    assert_eq!(report.progress.sections.len(), 1);
    let parts: Vec<&str> = report.rejected.iter().map(|part| part.part.as_str()).collect();
    assert_eq!(parts, [format!("calendar[{}..{}].price", night(10), night(11))]);
    assert_eq!(sandbox.days(listing.external(), &night(9), &night(9)).await[0]["price"], 200.0);
}

#[tokio::test]
async fn nights_that_are_ignored_without_a_reason_are_rejections() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    sandbox.fault(json!({ "path_pattern": "/v1/listings/*/calendarIntervals", "kind": "ignore_writes" })).await;
    listing.set(Section::Rates, json!([nights(0, 1, "price", 500.0), nights(2, 3, "price", 510.0)]));
    let report = bench.push(&listing, &[Section::Rates]).await;
    assert_eq!(report.class, OutcomeClass::AcceptedWithRejections, "{report:?}");
    assert_eq!(report.rejected.len(), 2);
    assert_eq!(report.progress.sections.len(), 1, "sending it again would not help");
}

#[tokio::test]
async fn a_bad_rate_does_not_hold_availability_back() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let mut listing = Listing::created("villa-1", &bench).await;
    listing.set(Section::Availability, json!([nights(0, 9, "isAvailable", 0), nights(10, 20, "isAvailable", 1)]));
    listing.set(Section::Rates, json!([nights(0, 20, "price", -1.0), nights(21, 22, "price", 10.0)]));
    let report = bench.push(&listing, &NIGHTS).await;
    assert_eq!(report.class, OutcomeClass::AcceptedWithRejections, "{report:?}");
    assert_eq!(report.progress.sections.keys().copied().collect::<Vec<_>>(), [Section::Availability]);
    let refused: Vec<Section> = report.rejected.iter().map(|part| part.section).collect();
    assert_eq!(refused, [Section::Rates]);
    let days = sandbox.days(listing.external(), &night(0), &night(0)).await;
    assert_eq!(days[0]["isAvailable"], Value::from(0));
}
