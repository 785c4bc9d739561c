//! A channel that shows the unit has no differences, and each thing that is wrong there is one.

use chrono::NaiveDate;
use demo::compare::differences;
use demo::villas::calendar::nights;
use demo::villas::villa;
use serde_json::{Value, json};

fn body() -> Value {
    villa(7, 1, NaiveDate::from_ymd_opt(2031, 1, 15).unwrap())
}

/// The listing and the days of villa 7, written out by hand from its body rather than by the service's mapping.
fn channel(body: &Value) -> (Value, Vec<Value>) {
    use domain::mapping::hostaway::tables::{AMENITIES, BED_TYPES, PROPERTY_TYPES, find};
    let unit = &body["unit"];
    let id = |table, code: &Value| find(table, code.as_str().unwrap()).unwrap().id;
    let major = |minor: &Value| minor.as_f64().unwrap_or(0.0) / 100.0;
    let hour = |time: &Value| time.as_str().unwrap()[..2].parse::<u8>().unwrap();
    let factor = |percent: &Value| 1.0 - percent.as_f64().unwrap_or(0.0) / 100.0;
    let array = |value: &Value| value.as_array().unwrap().clone();
    let beds = array(&unit["capacity"]["beds"]);
    let images = array(&unit["photos"]).into_iter().enumerate().map(
        |(at, photo)| json!({ "sourceUrl": photo["url"], "caption": photo["captions"]["en"], "sortOrder": at + 1 }),
    );
    let guests = &unit["capacity"]["guests"];
    let included = &unit["prices"]["guests_included"];
    let listing = json!({
        "name": unit["name"]["en"], "externalListingName": unit["name"]["en"],
        "description": unit["description"]["en"], "airbnbSummary": unit["summary"]["en"],
        "houseRules": unit["house_rules"]["en"], "propertyTypeId": id(PROPERTY_TYPES, &unit["property_type"]),
        "roomType": "entire_home", "personCapacity": guests, "bedroomsNumber": unit["capacity"]["bedrooms"],
        "bathroomsNumber": unit["capacity"]["bathrooms"],
        "bedsNumber": beds.iter().map(|bed| bed["quantity"].as_u64().unwrap()).sum::<u64>(),
        "listingBedTypes": beds.iter().map(|bed| json!({
            "bedTypeId": id(BED_TYPES, &bed["type"]), "quantity": bed["quantity"],
        })).collect::<Value>(),
        "listingAmenities": array(&unit["amenities"]).iter().rev().map(|code| json!({
            "amenityId": id(AMENITIES, code),
        })).collect::<Value>(),
        "listingImages": images.collect::<Value>(),
        "address": format!("{}, x {}, {}", unit["address"]["street"].as_str().unwrap(),
            unit["address"]["city"].as_str().unwrap(), unit["address"]["country"].as_str().unwrap()),
        "street": unit["address"]["street"], "city": unit["address"]["city"], "state": unit["address"]["state"],
        "zipcode": unit["address"]["postal_code"], "countryCode": unit["address"]["country"],
        "lat": unit["coordinates"]["latitude"], "lng": unit["coordinates"]["longitude"],
        "timeZoneName": unit["time_zone"], "currencyCode": unit["prices"]["currency"],
        "price": major(&unit["prices"]["nightly"]), "cleaningFee": major(&unit["prices"]["cleaning_fee"]),
        "priceForExtraPerson": major(&unit["prices"]["extra_guest_fee"]),
        "guestsIncluded": if included.is_null() { guests } else { included },
        "weeklyDiscount": factor(&unit["prices"]["weekly_discount_percent"]),
        "monthlyDiscount": factor(&unit["prices"]["monthly_discount_percent"]),
        "checkInTimeStart": hour(&unit["check_in"]["from"]), "checkInTimeEnd": hour(&unit["check_in"]["until"]),
        "checkOutTime": hour(&unit["check_out"]["until"]), "minNights": unit["stay_limits"]["minimum_nights"],
        "maxNights": unit["stay_limits"]["maximum_nights"], "cancellationPolicy": unit["cancellation_policy"],
    });
    let or = |own: Option<i64>, field: &str| own.map_or_else(|| unit["stay_limits"][field].clone(), Value::from);
    let day = |night: &demo::villas::calendar::Night| {
        json!({
            "date": night.date, "isAvailable": u8::from(night.available),
            "price": night.price.map_or_else(|| major(&unit["prices"]["nightly"]), |minor| major(&json!(minor))),
            "minimumStay": or(night.minimum_stay, "minimum_nights"),
            "maximumStay": or(night.maximum_stay, "maximum_nights"),
            "closedOnArrival": u8::from(night.closed_to_arrival), "closedOnDeparture": u8::from(night.closed_to_departure),
        })
    };
    (listing, nights(body).iter().map(day).collect())
}

#[test]
fn what_the_unit_says_has_no_differences() {
    let body = body();
    let (listing, days) = channel(&body);
    let found = differences(&body, &listing, &days);
    assert!(found.is_empty(), "{}", found.iter().map(|one| format!("{one}\n")).collect::<String>());
}

#[test]
fn every_field_of_the_listing_is_looked_at() {
    let body = body();
    let (listing, days) = channel(&body);
    for field in listing.as_object().unwrap().keys() {
        let mut wrong = listing.clone();
        wrong[field] = match &listing[field] {
            Value::Array(rows) => rows[1..].iter().cloned().collect(),
            Value::Number(number) => json!(number.as_f64().unwrap() + 1.0),
            _ => json!("something else"),
        };
        let found = differences(&body, &wrong, &days);
        assert!(!found.is_empty(), "{field} can be wrong unseen");
        assert!(found.iter().all(|one| one.field == *field), "{field}: {found:?}");
    }
}

#[test]
fn the_order_of_photos_counts() {
    let body = body();
    let (mut listing, days) = channel(&body);
    listing["listingImages"][0]["sortOrder"] = json!(99);
    assert_eq!(differences(&body, &listing, &days)[0].field, "listingImages");
}

#[test]
fn every_term_of_a_night_is_looked_at() {
    let body = body();
    let (listing, days) = channel(&body);
    for field in ["isAvailable", "price", "minimumStay", "maximumStay", "closedOnArrival", "closedOnDeparture"] {
        let mut wrong = days.clone();
        wrong[200][field] = json!(wrong[200][field].as_f64().unwrap() + 1.0);
        let found = differences(&body, &listing, &wrong);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].field, format!("night {} {field}", days[200]["date"].as_str().unwrap()));
    }
    let found = differences(&body, &listing, &days[..364]);
    assert_eq!(found.len(), 1, "a night that is not there: {found:?}");
}
