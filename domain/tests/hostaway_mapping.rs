//! The unit in Hostaway's fields: what is sent, in which units, what is left out and what is told about it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use domain::channel::{ChannelKind, ListingPayload, Section};
use domain::ids::{ListingId, TargetId};
use domain::mapping::{self, hostaway};
use domain::unit::UnitChanged;
use serde_json::{Value, json};

fn example() -> Value {
    serde_json::from_str(include_str!("../../nats/examples/unit-changed.v1.json")).unwrap()
}

fn listing_id() -> ListingId {
    ListingId::of(TargetId(uuid::Uuid::nil()), &"villa-0042".parse().unwrap())
}

fn mapped(body: Value) -> ListingPayload {
    mapping::map(ChannelKind::Hostaway, &UnitChanged::from_value(body).unwrap(), &listing_id())
}

fn body(payload: &ListingPayload, section: Section) -> &Value {
    &payload.sections[&section].body
}

fn told(payload: &ListingPayload) -> Vec<(Section, &str, &str)> {
    payload.rejected.iter().map(|part| (part.section, part.part.as_str(), part.value.as_str())).collect()
}

#[test]
fn the_listing_goes_up_in_hostaways_fields() {
    let payload = mapped(example());
    assert_eq!(payload.rejected, []);
    let listing = listing_id();
    let amenities = [3, 4, 6, 7, 8, 46].map(|id| json!({"amenityId": id}));
    let wanted = json!({
        "internalListingName": format!("villa-0042 {listing}"),
        "name": "Villa Kayu", "externalListingName": "Villa Kayu",
        "description": example()["unit"]["description"]["en"],
        "airbnbSummary": "Three pavilions around a pool, ten minutes from the beach.",
        "houseRules": "No parties. Quiet after 22:00.",
        "propertyTypeId": 3, "roomType": "entire_home", "bathroomType": "private",
        "personCapacity": 6, "bedroomsNumber": 3, "bathroomsNumber": 3, "bedsNumber": 4,
        "listingBedTypes": [{"bedTypeId": 9, "quantity": 2}, {"bedTypeId": 11, "quantity": 2}],
        "listingAmenities": amenities,
        "address": "Jalan Pantai Berawa 14, 80361 Tibubeneng, Bali, ID",
        "street": "Jalan Pantai Berawa 14", "city": "Tibubeneng", "state": "Bali", "zipcode": "80361",
        "countryCode": "ID", "lat": -8.6601, "lng": 115.1424, "timeZoneName": "Asia/Makassar",
        "currencyCode": "USD", "price": 240.0, "cleaningFee": 45.0, "priceForExtraPerson": 15.0,
        "guestsIncluded": 4, "weeklyDiscount": 0.9, "monthlyDiscount": 0.775,
        "minNights": 2, "maxNights": 60, "checkInTimeStart": 15, "checkInTimeEnd": 22, "checkOutTime": 11,
        "cancellationPolicy": "moderate",
    });
    assert_eq!(body(&payload, Section::Content), &wanted);
}

#[test]
fn the_reference_is_the_unit_and_the_listing() {
    let listing = listing_id();
    let unit = "villa-0042".parse().unwrap();
    assert_eq!(hostaway::reference(&unit, &listing), format!("villa-0042 {listing}"));
}

#[test]
fn photos_are_numbered_from_one_and_captioned_in_the_default_locale() {
    let payload = mapped(example());
    let wanted = json!([
        {"url": "https://photos.example.org/villa-0042/pool.jpg", "caption": "The pool at dusk", "sortOrder": 1},
        {"url": "https://photos.example.org/villa-0042/kitchen.jpg", "caption": "Open kitchen", "sortOrder": 2},
        {"url": "https://photos.example.org/villa-0042/garden.jpg", "sortOrder": 3},
    ]);
    assert_eq!(body(&payload, Section::Images), &wanted);
}

#[test]
fn the_calendar_is_merged_per_section_with_the_units_own_terms_filled_in() {
    let payload = mapped(example());
    let available =
        |first: &str, last: &str, available: u8| json!({"startDate": first, "endDate": last, "isAvailable": available});
    let wanted = json!([
        available("2026-12-01", "2026-12-18", 1),
        available("2026-12-19", "2026-12-23", 0),
        available("2026-12-24", "2027-03-31", 1),
    ]);
    assert_eq!(body(&payload, Section::Availability), &wanted);
    let rate = |first: &str, last: &str, price: f64, minimum: u8, maximum: u8, closed: u8| {
        json!({"startDate": first, "endDate": last, "price": price, "minimumStay": minimum, "maximumStay": maximum,
            "closedOnArrival": closed, "closedOnDeparture": 0})
    };
    let wanted = json!([
        rate("2026-12-01", "2026-12-23", 240.0, 2, 60, 0),
        rate("2026-12-24", "2027-01-03", 390.0, 5, 60, 0),
        rate("2027-01-04", "2027-01-04", 240.0, 2, 60, 1),
        rate("2027-01-05", "2027-03-31", 220.0, 2, 30, 0),
    ]);
    assert_eq!(body(&payload, Section::Rates), &wanted);
}

#[test]
fn prices_follow_the_exponent_of_their_currency() {
    for (currency, minor, major) in [("JPY", 24_000, 24_000.0), ("EUR", 24_099, 240.99), ("KWD", 24_005, 24.005)] {
        let mut unit = example();
        unit["unit"]["prices"] = json!({"currency": currency, "nightly": minor});
        let payload = mapped(unit);
        assert_eq!(body(&payload, Section::Content)["price"], json!(major));
        assert_eq!(body(&payload, Section::Rates)[0]["price"], json!(major));
    }
}

#[test]
fn a_fee_or_discount_that_is_gone_is_sent_as_none() {
    let mut unit = example();
    unit["unit"]["prices"] = json!({"currency": "EUR", "nightly": 9900});
    let payload = mapped(unit);
    let content = body(&payload, Section::Content);
    assert_eq!(
        (&content["cleaningFee"], &content["priceForExtraPerson"], &content["guestsIncluded"]),
        (&json!(0.0), &json!(0.0), &json!(6))
    );
    assert_eq!((&content["weeklyDiscount"], &content["monthlyDiscount"]), (&json!(1.0), &json!(1.0)));
}

#[test]
fn a_bad_part_is_left_out_and_the_rest_goes_on() {
    let mut unit = example();
    let first = "https://photos.example.org/a.jpg";
    unit["unit"]["property_type"] = json!("submarine");
    unit["unit"]["capacity"]["beds"][0]["type"] = json!("throne");
    unit["unit"]["amenities"] = json!(["wifi", "teleporter", "wireless"]);
    unit["unit"]["photos"] = json!([{"url": first}, {"url": "http://insecure/b.jpg"}, {"url": first}, {"url": "c.jpg"},
        {"url": "https://photos.example.org/d.jpg"}]);
    let payload = mapped(unit);
    let wanted = [
        (Section::Content, "unit.property_type", "submarine"),
        (Section::Content, "unit.capacity.beds[0].type", "throne"),
        (Section::Content, "unit.amenities[1]", "teleporter"),
        (Section::Images, "unit.photos[1].url", "http://insecure/b.jpg"),
        (Section::Images, "unit.photos[2].url", first),
        (Section::Images, "unit.photos[3].url", "c.jpg"),
    ];
    assert_eq!(told(&payload), wanted);
    let content = body(&payload, Section::Content);
    assert_eq!(content["propertyTypeId"], hostaway::tables::FALLBACK_PROPERTY_TYPE.id);
    assert_eq!(content["listingBedTypes"], json!([{"bedTypeId": 11, "quantity": 2}]));
    assert_eq!(content["bedsNumber"], 4);
    assert_eq!(content["listingAmenities"], json!([{"amenityId": 3}]));
    let orders: Vec<&Value> =
        body(&payload, Section::Images).as_array().unwrap().iter().map(|row| &row["sortOrder"]).collect();
    assert_eq!(orders, [1, 2]);
}

/// An empty array deletes at Hostaway, even when the call is refused.
#[test]
fn empty_lists_are_never_sent() {
    let mut unit = example();
    unit["unit"]["amenities"] = json!([]);
    unit["unit"]["photos"] = json!([]);
    unit["unit"]["calendar"] = json!([]);
    unit["unit"]["capacity"]["beds"] = json!([]);
    let payload = mapped(unit);
    assert_eq!(payload.sections.keys().collect::<Vec<_>>(), [&Section::Content]);
    let content = body(&payload, Section::Content).as_object().unwrap();
    assert!(content.values().all(|value| *value != json!([]) && !value.is_null()));
    assert!(!content.contains_key("listingAmenities") && !content.contains_key("bedsNumber"));
    assert_eq!(told(&payload), [(Section::Content, "unit.amenities", ""), (Section::Images, "unit.photos", "")]);
}

#[test]
fn however_much_is_left_out_what_is_told_of_it_stays_small() {
    let mut unit = example();
    unit["unit"]["amenities"] = (0..5_000).map(|number| json!(format!("{number}{}", "x".repeat(150)))).collect();
    unit["unit"]["capacity"]["beds"][0]["type"] = json!("y".repeat(500_000));
    let rejected = mapped(unit).rejected;
    assert_eq!(rejected.len(), 51);
    assert!(serde_json::to_vec(&rejected).unwrap().len() < 50_000);
    let more = rejected.last().unwrap();
    assert_eq!((more.section, more.part.as_str()), (Section::Content, "and more"));
    // The bed type, the 5,000 amenities and that none of them is usable, less the 50 that are listed.
    assert_eq!(more.reason, "at least 4952 more parts were refused; mend the listed ones first");
}

#[test]
fn times_between_hours_move_to_the_side_that_promises_less() {
    let mut unit = example();
    unit["unit"]["check_in"] = json!({"from": "15:30", "until": "21:45"});
    unit["unit"]["check_out"] = json!({"until": "10:30"});
    let payload = mapped(unit);
    let content = body(&payload, Section::Content);
    assert_eq!((&content["checkInTimeStart"], &content["checkInTimeEnd"]), (&json!(16), &json!(21)));
    assert_eq!(content["checkOutTime"], 10);
    assert_eq!(payload.rejected.len(), 3);
    assert_eq!(payload.rejected[0].reason, "Hostaway takes whole hours; 16:00 was sent");
}

#[test]
fn equal_units_have_equal_hashes_and_a_booking_changes_availability_alone() {
    let before = mapped(example()).hashes();
    assert_eq!(mapped(example()).hashes(), before);
    let mut shuffled = example();
    shuffled["revision"] = json!(8);
    shuffled["unit"]["amenities"].as_array_mut().unwrap().reverse();
    shuffled["unit"]["calendar"].as_array_mut().unwrap().reverse();
    assert_eq!(mapped(shuffled).hashes(), before);
    let mut booked = example();
    booked["unit"]["calendar"][4]["available"] = json!(false);
    let after = mapped(booked).hashes();
    let changed: Vec<&Section> = before.keys().filter(|section| before[section] != after[section]).collect();
    assert_eq!(changed, [&Section::Availability]);
}
