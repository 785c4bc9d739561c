//! What differs between two payloads: each field once, nights in a row as one, and no more than can be shown.

use std::collections::BTreeMap;

use domain::channel::{Bodies, ChannelKind, Section};
use domain::difference::staying::Staying;
use domain::difference::{Differences, MOST_FIELDS};
use domain::ids::ListingId;
use domain::mapping;
use domain::unit::{Night, UnitChanged};
use serde_json::{Value, json};

fn differences(section: Section, before: Option<&Value>, after: &Value) -> Differences {
    let has: Bodies<'_> = before.map(|before| (section, before)).into_iter().collect();
    mapping::differences(ChannelKind::Hostaway, &has, &Bodies::from([(section, after)]))
}

fn words(section: Section, before: &Value, after: &Value) -> Vec<String> {
    differences(section, Some(before), after).words()
}

#[test]
fn nights_in_a_row_are_one_difference_whatever_the_intervals() {
    let before = json!([{"startDate": "2030-01-01", "endDate": "2030-01-10", "price": 100.0, "minimumStay": 2}]);
    let after = json!([
        {"startDate": "2030-01-01", "endDate": "2030-01-03", "price": 100.0, "minimumStay": 2},
        {"startDate": "2030-01-04", "endDate": "2030-01-05", "price": 130.0, "minimumStay": 2},
        {"startDate": "2030-01-06", "endDate": "2030-01-06", "price": 130.0, "minimumStay": 3},
        {"startDate": "2030-01-07", "endDate": "2030-01-11", "price": 100.0, "minimumStay": 2},
    ]);
    let told = [
        "rates: calendar[2030-01-04..2030-01-06].price, 3 nights: 100.0 -> 130.0",
        "rates: calendar[2030-01-06..2030-01-06].minimumStay: 2 -> 3",
        "rates: calendar[2030-01-11..2030-01-11].minimumStay: told of now, 2",
        "rates: calendar[2030-01-11..2030-01-11].price: told of now, 100.0",
    ];
    assert_eq!(words(Section::Rates, &before, &after), told);
    let found = serde_json::to_value(differences(Section::Rates, Some(&before), &after)).unwrap();
    let first = json!({
        "path": "calendar[2030-01-04..2030-01-06].price", "change": "changed", "before": 100.0, "after": 130.0,
        "nights": {"first": "2030-01-04", "last": "2030-01-06", "count": 3},
    });
    assert_eq!(
        (&found[0]["section"], &found[0]["count"], &found[0]["fields"][0]),
        (&json!("rates"), &json!(4), &first)
    );
    assert_eq!(found[0]["fields"][2]["change"], "added", "of earlier, the channel may have something of it");
    assert!(differences(Section::Rates, Some(&after), &after).is_empty());
}

#[test]
fn the_listing_is_told_field_by_field_and_row_by_row() {
    let before = json!({
        "name": "Villa Kayu", "cleaningFee": 40.0, "state": "Bali", "propertyTypeId": 50,
        "listingAmenities": [{"amenityId": 4}, {"amenityId": 45}],
        "listingBedTypes": [{"bedTypeId": 1, "quantity": 2}],
    });
    let after = json!({
        "name": "Villa Kayu", "cleaningFee": 55.0, "houseRules": "No parties.", "propertyTypeId": 50,
        "listingAmenities": [{"amenityId": 44}, {"amenityId": 4}],
        "listingBedTypes": [{"bedTypeId": 1, "quantity": 3}],
    });
    let told = words(Section::Content, &before, &after);
    assert!(told.contains(&"content: listing.cleaningFee: 40.0 -> 55.0".to_owned()), "{told:?}");
    assert!(told.contains(&"content: listing.houseRules: told of now, \"No parties.\"".to_owned()), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("listing.state")), "it is left out, so it stays: {told:?}");
    let amenity = "content: listing.listingAmenities[amenityId=44] (BBQ grill): new, {\"amenityId\":44}";
    assert!(told.contains(&amenity.to_owned()), "{told:?}");
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.iter().any(|line| line.contains("bedTypeId=1")
        && line.contains("\"quantity\":2")
        && line.contains("\"quantity\":3")));
}

#[test]
fn a_photo_is_new_gone_moved_or_under_another_caption() {
    let list = |photos: &[(&str, &str)]| -> Value {
        let row = |(place, (name, caption)): (usize, &(&str, &str))| json!({"url": format!("https://x/{name}"), "caption": caption, "sortOrder": place + 1});
        photos.iter().enumerate().map(row).collect()
    };
    let before = list(&[("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")]);
    let after = list(&[("e", "E"), ("d", "D"), ("a", "A"), ("b", "Bath")]);
    let told = words(Section::Images, &before, &after);
    let wanted = [
        "images: listing.listingImages[https://x/c]: gone, was {\"caption\":\"C\",\"place\":3}",
        "images: listing.listingImages[https://x/e]: new, {\"caption\":\"E\",\"place\":1}",
        "images: listing.listingImages[https://x/d]: moved, {\"caption\":\"D\",\"place\":4} -> {\"caption\":\"D\",\"place\":2}",
        "images: listing.listingImages[https://x/b]: {\"caption\":\"B\",\"place\":2} -> {\"caption\":\"Bath\",\"place\":4}",
    ];
    assert_eq!(told, wanted);
    // The one in the middle of a list that is turned round stays where it is.
    let turned = words(
        Section::Images,
        &list(&[("a", "A"), ("b", "B"), ("c", "C")]),
        &list(&[("c", "C"), ("b", "B"), ("a", "A")]),
    );
    assert!(
        !turned.is_empty() && turned.iter().all(|line| line.contains(": moved, ") && !line.contains("https://x/b"))
    );
}

#[test]
fn the_first_time_all_of_it_is_new_and_a_long_list_is_counted() {
    let example = include_str!("../../nats/examples/unit-changed.v1.json");
    let unit = UnitChanged::from_json(example.as_bytes()).unwrap();
    let payload = mapping::map(ChannelKind::Hostaway, &unit, &ListingId(uuid::Uuid::nil()));
    let found = mapping::differences(ChannelKind::Hostaway, &Bodies::new(), &payload.bodies());
    let sections: Vec<Section> = found.sections.iter().map(|section| section.section).collect();
    assert_eq!(sections, payload.sections.keys().copied().collect::<Vec<_>>());
    assert!(found.words().iter().all(|line| line.contains(": new, ") || line.ends_with(" more")), "{found:?}");

    let photos: Value =
        (0..200).map(|n| json!({"url": format!("https://x/{n}{}", "y".repeat(2_000)), "sortOrder": n})).collect();
    let many = differences(Section::Images, None, &photos);
    assert_eq!((many.count(), many.sections[0].fields.len()), (200, MOST_FIELDS));
    assert_eq!(many.words().last().unwrap(), "images: 150 more");
    assert!(serde_json::to_string(&many).unwrap().len() < 64 * 1024);
    let wanted = Bodies::from([(Section::Images, &photos)]);
    let all = mapping::differences_up_to(ChannelKind::Hostaway, &Bodies::new(), &wanted, usize::MAX);
    assert_eq!((all.count(), all.sections[0].fields.len()), (200, 200), "who asks for all of them gets them");
}

/// A text is kept for whoever wants to see all of it; what is told of it stands around the place where it differs.
#[test]
fn of_a_long_text_the_place_is_told_where_it_differs() {
    let long = "A quiet villa between the rice fields. ".repeat(40);
    let content = |text: &str| json!({ "description": format!("{long}{text}"), "name": "Villa" });
    let (before, after) = (content("The path goes to the beach."), content("The path goes to the lake."));
    let found = differences(Section::Content, Some(&before), &after);
    let told = serde_json::to_value(&found).unwrap();
    let field = &told[0]["fields"][0];
    let side = |side: &str| field[side].as_str().unwrap().to_owned();
    assert!(side("before").starts_with('…') && side("before").ends_with("goes to the beach."), "{field}");
    assert!(side("after").starts_with('…') && side("after").ends_with("goes to the lake."), "{field}");
    assert!(field["excerpt"] == true && side("before").chars().count() <= 303, "{field}");
    let words = found.words();
    let line = &words[0];
    assert!(line.contains("to the beach.\" -> \"…") && line.ends_with("to the lake.\""), "{line}");
    assert_eq!(found.sections[0].fields[0].before.as_ref(), Some(&before["description"]), "all of it is kept");

    // So it is of captions, which stand in rows; and of many long texts no more is kept than is sane.
    let photos = |end: &str| -> Value {
        let caption = format!("{}{end}", "word ".repeat(1_900));
        (0..40).map(|n| json!({"url": format!("https://x/{n}"), "caption": caption})).collect()
    };
    let found = differences(Section::Images, Some(&photos("sea")), &photos("lake"));
    let told = serde_json::to_value(&found).unwrap();
    for field in told[0]["fields"].as_array().unwrap() {
        let caption = |side: &str| field[side]["caption"].as_str().unwrap_or_default().to_owned();
        assert!(caption("before").ends_with("word sea") && caption("after").ends_with("word lake"), "{field}");
        assert_eq!(field["excerpt"], true, "{field}");
    }
    let kept = found.sections[0].fields.iter().map(|field| format!("{field:?}").len()).sum::<usize>();
    assert!((200_000..300_000).contains(&kept), "{kept}");
}

fn stays(section: Section, before: &Value, after: Option<&Value>) -> Vec<Staying> {
    let wanted: Bodies<'_> = after.map(|after| (section, after)).into_iter().collect();
    mapping::staying(ChannelKind::Hostaway, &Bodies::from([(section, before)]), &wanted)
}

/// The contract leaves nights in no range as they are at the channel: they are neither gone nor taken.
#[test]
fn nights_that_are_told_of_no_more_stay_and_differ_in_nothing() {
    let nights = |ranges: &[(&str, &str)]| -> Value {
        let row = |(first, last): &(&str, &str)| json!({"startDate": first, "endDate": last, "isAvailable": 1});
        ranges.iter().map(row).collect()
    };
    let availability = Section::Availability;
    let all = nights(&[("2030-01-01", "2030-01-20")]);
    let two = nights(&[("2030-01-03", "2030-01-10"), ("2030-01-12", "2030-01-20")]);
    let words = |before: &Value, after: Option<&Value>| -> Vec<String> {
        stays(availability, before, after).iter().map(ToString::to_string).collect()
    };
    assert!(differences(availability, Some(&all), &two).is_empty());
    let told = "availability: 3 nights (2030-01-01 to 2030-01-02, 2030-01-11) are not told of any more and stay at the \
                channel as they are";
    assert_eq!(words(&all, Some(&two)), [told]);
    let found = serde_json::to_value(stays(availability, &all, Some(&two))).unwrap();
    let ranges = json!([
        {"first": "2030-01-01", "last": "2030-01-02", "count": 2},
        {"first": "2030-01-11", "last": "2030-01-11", "count": 1},
    ]);
    let nights_told = json!({"first": "2030-01-01", "last": "2030-01-11", "count": 3, "ranges": ranges});
    assert_eq!(found, json!([{"section": "availability", "nights": nights_told}]));

    // Without a calendar the section is not there at all. Told of again, nobody says that they are new.
    let none = words(&two, None);
    assert!(none[0].contains(": 17 nights (2030-01-03 to 2030-01-10, 2030-01-12 to 2030-01-20) are not "), "{none:?}");
    assert_eq!(words(&two, Some(&all)), [""; 0]);
    let again = differences(availability, Some(&two), &all).words();
    assert_eq!(again[0], "availability: calendar[2030-01-01..2030-01-02].isAvailable, 2 nights: told of now, 1");
    let one = words(&all, Some(&nights(&[("2030-01-01", "2030-01-19")])));
    assert!(one[0].contains("1 night (2030-01-20) is not told of any more and stays at the channel"), "{one:?}");
    let days: Vec<String> = (1..29).step_by(2).map(|day| format!("2030-02-{day:02}")).collect();
    let many: Vec<(&str, &str)> = days.iter().map(|day| (day.as_str(), day.as_str())).collect();
    let many = words(&nights(&many), None);
    assert!(many[0].contains("14 nights (between 2030-02-01 and 2030-02-27)"), "{many:?}");
}

#[test]
fn fields_and_lists_that_are_left_out_stay_and_rows_that_a_list_lacks_are_gone() {
    let before = json!({
        "name": "Villa", "houseRules": "No parties.", "listingAmenities": [{"amenityId": 3}, {"amenityId": 4}],
        "listingBedTypes": [{"bedTypeId": 1, "quantity": 2}, {"bedTypeId": 9, "quantity": 1}],
    });
    let after = json!({"name": "Villa", "listingBedTypes": [{"bedTypeId": 1, "quantity": 2}]});
    let told = words(Section::Content, &before, &after);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("content: listing.listingBedTypes[bedTypeId=9]") && told[0].contains(": gone, was "));
    let found = stays(Section::Content, &before, Some(&after));
    let line = "content: listing.houseRules (\"No parties.\"), listing.listingAmenities (2 rows) are not told of any \
                more and stay at the channel as they are";
    assert_eq!(found[0].to_string(), line);
    let fields = json!([
        {"path": "listing.houseRules", "value": "No parties."}, {"path": "listing.listingAmenities", "rows": 2},
    ]);
    assert_eq!(serde_json::to_value(&found).unwrap(), json!([{"section": "content", "fields": fields}]));
    // What of a list that was left out is there nobody knows, so no row of it is new.
    let again = words(Section::Content, &after, &before);
    assert!(again.iter().any(|line| line.contains("[amenityId=3]") && line.contains(": told of now, ")), "{again:?}");
    assert!(again.iter().any(|line| line.contains("[bedTypeId=9]") && line.contains(": new, ")), "{again:?}");

    let photos = json!([{"url": "https://x/1", "sortOrder": 1}, {"url": "https://x/2", "sortOrder": 2}]);
    let told: Vec<String> = stays(Section::Images, &photos, None).iter().map(ToString::to_string).collect();
    assert!(told[0].starts_with("images: listing.listingImages (2 rows) is not told of any more"), "{told:?}");
    assert_eq!(stays(Section::Images, &photos, Some(&json!([{"url": "https://x/2", "sortOrder": 1}]))), []);
}

fn drift(sent: &Bodies<'_>, answers: &BTreeMap<Section, Value>, from: Night) -> Differences {
    let mut found = Differences::default();
    for (section, body) in sent {
        found.add(*section, mapping::hostaway::drift(*section, body, &answers[section], from));
    }
    found
}

#[test]
fn drift_is_only_of_what_is_ours_and_a_reservation_explains_itself() {
    let sent = json!({"name": "Villa", "cleaningFee": 40.0, "listingAmenities": [{"amenityId": 4}]});
    let nights = json!([{"startDate": "2030-01-01", "endDate": "2030-01-03", "isAvailable": 1}]);
    let photos = json!([{"url": "https://x/1", "caption": "Pool", "sortOrder": 1}]);
    let listing = json!({
        "name": "Villa ", "cleaningFee": "40.00", "wifiPassword": "theirs", "listingAmenities": [{"id": 9, "amenityId": 4}],
        "listingImages": [{"id": 7, "url": "https://s3/z", "caption": "Pool", "sortOrder": 1}],
    });
    let day = |date: &str, open: u8, status: &str| json!({"date": date, "isAvailable": open, "status": status});
    let days =
        json!([day("2030-01-01", 1, "available"), day("2030-01-02", 0, "reserved"), day("2030-01-03", 1, "available")]);
    let bodies =
        Bodies::from([(Section::Availability, &nights), (Section::Content, &sent), (Section::Images, &photos)]);
    let answers = |listing: &Value, days: &Value| {
        BTreeMap::from([
            (Section::Availability, days.clone()),
            (Section::Content, listing.clone()),
            (Section::Images, listing.clone()),
        ])
    };
    let from = "2030-01-01".parse().unwrap();
    let found = drift(&bodies, &answers(&listing, &days), from);
    assert_eq!(
        found.words(),
        ["availability: calendar[2030-01-02..2030-01-02].isAvailable: 1 -> 0 (reserved at the channel)"]
    );
    assert!(found.sections[0].fields[0].expected && found.unexpected() == 0);

    let edited = json!({"name": "Another", "cleaningFee": 40, "listingAmenities": [], "listingImages": []});
    let found = drift(&bodies, &answers(&edited, &json!([])), from);
    let told = [
        "availability: calendar[2030-01-01..2030-01-03].isAvailable, 3 nights: 1 -> nothing",
        "content: listing.listingAmenities[amenityId=4] (Air conditioning): gone, was {\"amenityId\":4}",
        "content: listing.name: \"Villa\" -> \"Another\"",
        "images: listing.listingImages[sortOrder=1]: gone, was {\"caption\":\"Pool\",\"sortOrder\":1}",
    ];
    let later = "2030-01-04".parse().unwrap();
    let past = drift(&bodies, &answers(&edited, &json!([])), later);
    assert_eq!(past.words(), told[1..], "nights that are past do not count");
    assert_eq!((found.words(), found.unexpected()), (told.map(str::to_owned).to_vec(), 4));
}

#[test]
fn drift_names_rows_by_what_they_are_known_by() {
    let sent = json!({
        "listingAmenities": [{"amenityId": 4}, {"amenityId": 6}],
        "listingBedTypes": [{"bedTypeId": 1, "quantity": 2}, {"bedTypeId": 9, "quantity": 1}],
    });
    let photos = json!([{"url": "https://x/1", "caption": "Pool", "sortOrder": 1}]);
    let listing = json!({
        "listingAmenities": [{"id": 9, "amenityId": 4}, {"id": 8, "amenityId": 7}],
        "listingBedTypes": [{"id": 5, "bedTypeId": "1", "quantity": 3}, {"id": 6, "bedTypeId": 9, "quantity": 1}],
        "listingImages": [{"id": 7, "url": "https://s3/z", "caption": "Garden", "sortOrder": 1}],
    });
    let bodies = Bodies::from([(Section::Content, &sent), (Section::Images, &photos)]);
    let answers = BTreeMap::from([(Section::Content, listing.clone()), (Section::Images, listing)]);
    let found = serde_json::to_value(drift(&bodies, &answers, "2030-01-01".parse().unwrap())).unwrap();
    let told = |section: usize| -> Vec<(&str, &str)> {
        let fields = found[section]["fields"].as_array().unwrap().iter();
        fields.map(|field| (field["path"].as_str().unwrap(), field["change"].as_str().unwrap())).collect()
    };
    let content = [
        ("listing.listingAmenities[amenityId=6]", "removed"),
        ("listing.listingAmenities[amenityId=7]", "added"),
        ("listing.listingBedTypes[bedTypeId=1]", "changed"),
    ];
    assert_eq!(told(0), content);
    assert_eq!(told(1), [("listing.listingImages[sortOrder=1]", "changed")]);
}
