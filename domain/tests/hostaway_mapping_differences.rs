//! What Hostaway answered with success but did not take: found where it matters, silent where two spellings mean the
//! same.

use domain::channel::Section;
use domain::mapping::hostaway::{calendar_differences, content_differences, kept_texts};
use serde_json::{Value, json};

fn fields(sent: &Value, answered: &Value) -> Vec<String> {
    content_differences(sent, answered).into_iter().map(|difference| difference.field).collect()
}

#[test]
fn spellings_of_the_same_value_are_no_difference() {
    let table = [
        (json!(240.0), json!(240)),
        (json!(240.0), json!("240.00")),
        (json!(24.005), json!(24.01)),
        (json!(1), json!(true)),
        (json!(0), json!(false)),
        (json!("Villa "), json!("Villa")),
        (json!(""), json!(null)),
    ];
    for (sent, answered) in table {
        assert!(fields(&json!({"x": sent}), &json!({"x": answered})).is_empty(), "{sent} {answered}");
    }
}

#[test]
fn ignored_values_are_told() {
    let table = [
        (json!(240.0), json!(240.01)),
        (json!(1), json!(false)),
        (json!("01234"), json!("1234")),
        (json!("moderate"), json!(null)),
        (json!(3), json!("three")),
    ];
    for (sent, answered) in table {
        let found = content_differences(&json!({"x": sent}), &json!({"x": answered, "y": 1}));
        assert_eq!(found.len(), 1, "{sent} {answered}");
        assert_eq!((&found[0].sent, &found[0].answered), (&sent, &answered));
    }
    assert_eq!(fields(&json!({"x": 1}), &json!({})), ["x"]);
}

#[test]
fn rows_are_compared_as_sets_of_what_counts() {
    let sent = json!({
        "listingAmenities": [{"amenityId": 3}, {"amenityId": 4}],
        "listingBedTypes": [{"bedTypeId": 9, "quantity": 2}],
        "listingImages": [{"url": "https://a/1.jpg", "caption": "Pool", "sortOrder": 1}],
    });
    let same = json!({
        "listingAmenities": [{"id": 71, "amenityId": 4}, {"id": 72, "amenityId": "3"}],
        "listingBedTypes": [{"id": 5, "bedTypeId": 9, "quantity": 2, "bedroomNumber": null}],
        "listingImages": [{"id": 8, "url": "https://s3/x", "caption": "Pool", "sortOrder": 1}],
    });
    assert_eq!(content_differences(&sent, &same), []);
    assert_eq!(content_differences(&sent, &json!({"listingAmenities": null})), [], "nothing was loaded");
    let other = json!({
        "listingAmenities": [{"amenityId": 3}, {"id": 1, "amenityId": 9}],
        "listingBedTypes": [{"bedTypeId": 9, "quantity": 1}],
        "listingImages": [],
    });
    let told: Vec<(String, Value, Value)> =
        content_differences(&sent, &other).into_iter().map(|one| (one.field, one.sent, one.answered)).collect();
    let wanted = [
        ("listingAmenities".to_owned(), json!({"amenityId": 4}), Value::Null),
        ("listingAmenities".to_owned(), Value::Null, json!({"amenityId": 9})),
        ("listingBedTypes".to_owned(), json!({"bedTypeId": 9, "quantity": 2}), Value::Null),
        ("listingBedTypes".to_owned(), Value::Null, json!({"bedTypeId": 9, "quantity": 1})),
        ("listingImages".to_owned(), json!({"caption": "Pool", "sortOrder": 1}), Value::Null),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_text_that_the_unit_no_longer_has_and_the_channel_keeps_is_told() {
    let answered = json!({"houseRules": "No parties.", "airbnbSummary": " ", "state": "Bali"});
    let told = kept_texts(&json!({"name": "Villa"}), &answered);
    assert_eq!(told.iter().map(|part| part.part.as_str()).collect::<Vec<_>>(), ["listing.houseRules"]);
    assert!(told[0].reason.contains("No parties."), "{}", told[0].reason);
    assert_eq!(kept_texts(&json!({"houseRules": "No parties."}), &answered), []);
}

#[test]
fn a_difference_becomes_a_rejected_part() {
    let found = content_differences(&json!({"cleaningFee": 45.0}), &json!({"cleaningFee": 30}));
    let part = found[0].to_rejected_part();
    assert_eq!(
        (part.section, part.part.as_str(), part.value.as_str()),
        (Section::Content, "listing.cleaningFee", "45.0")
    );
    assert_eq!(part.reason, "Hostaway answered with success but kept 30");
}

fn day(date: &str, available: u8, price: f64, status: &str) -> Value {
    json!({"id": 1, "date": date, "isAvailable": available, "price": price, "minimumStay": 2, "status": status,
        "closedOnArrival": null})
}

#[test]
fn equal_calendars_have_no_difference() {
    let sent = [json!({"startDate": "2026-12-30", "endDate": "2027-01-01", "isAvailable": 1, "price": 240.0,
        "closedOnArrival": 0})];
    let days = ["2026-12-30", "2026-12-31", "2027-01-01"].map(|date| day(date, 1, 240.004, "available"));
    assert_eq!(calendar_differences(&sent, &days), []);
}

#[test]
fn reserved_nights_are_expected_and_come_as_one() {
    let sent = [json!({"startDate": "2026-12-30", "endDate": "2027-01-02", "isAvailable": 1, "price": 240.0})];
    let days = [
        day("2026-12-30", 1, 240.0, "available"),
        day("2026-12-31", 0, 200.0, "reserved"),
        day("2027-01-01", 0, 200.0, "reserved"),
        day("2027-01-02", 1, 239.98, "available"),
    ];
    let found = calendar_differences(&sent, &days);
    let told: Vec<(&str, String, bool, &str)> = found
        .iter()
        .map(|one| {
            (one.field.as_str(), format!("{}..{}", one.nights.first(), one.nights.last()), one.expected, one.reason)
        })
        .collect();
    let refused = "the channel answered with success but did not take the value";
    let wanted = [
        ("isAvailable", "2026-12-31..2027-01-01".to_owned(), true, "reserved at the channel"),
        ("price", "2026-12-31..2027-01-01".to_owned(), true, "reserved at the channel"),
        ("price", "2027-01-02..2027-01-02".to_owned(), false, refused),
    ];
    assert_eq!(told, wanted);
    let part = found[0].to_rejected_part();
    assert_eq!(
        (part.section, part.part.as_str()),
        (Section::Availability, "calendar[2026-12-31..2027-01-01].isAvailable")
    );
}

#[test]
fn a_night_that_the_answer_does_not_show_is_told() {
    let sent = [
        json!({"startDate": "2026-12-30", "endDate": "2026-12-30", "closedOnArrival": 1}),
        json!({"startDate": "2026-12-31", "endDate": "2026-12-31", "closedOnArrival": 1}),
    ];
    let found = calendar_differences(&sent, &[day("2026-12-30", 1, 1.0, "available")]);
    let reasons: Vec<&str> = found.iter().map(|one| one.reason).collect();
    let wanted = [
        "the channel answered with success but did not take the value",
        "the channel's calendar does not show the night",
    ];
    assert_eq!(reasons, wanted);
}
