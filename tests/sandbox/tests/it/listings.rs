//! Listings: partial writes, silent ignores, wiped arrays, refusals with HTTP 200, look-up by reference.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, Sandbox, sandbox, villa};

async fn full(sandbox: &Sandbox, id: u64) -> Value {
    sandbox.get(&format!("/v1/listings/{id}?includeResources=1")).await
}

#[tokio::test]
async fn omitted_null_read_only_and_unknown_fields_change_nothing() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let before = full(&sandbox, id).await;
    let patch = json!({
        "name": "New name", "description": null, "listingAmenities": null, "thumbnailUrl": "https://x.org/y.jpg",
        "country": "France", "averageReviewRating": 10, "id": 7, "noSuchField": 1, "specialStatus": "archived",
    });
    let answer = sandbox.put(&format!("/v1/listings/{id}"), &patch).await;
    let mut expected = before;
    expected["name"] = json!("New name");
    expected["latestActivityOn"] = answer["latestActivityOn"].clone();
    assert_eq!(answer, expected);
    assert_eq!(full(&sandbox, id).await, expected);
}

#[tokio::test]
async fn an_empty_array_wipes_rows_even_when_the_request_is_refused() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let patch =
        json!({ "name": "Lost", "listingAmenities": [], "listingImages": [], "cancellationPolicy": "super_strict" });
    let text = sandbox.refused(Method::PUT, &format!("/v1/listings/{id}"), &patch, "message").await;
    assert!(text.starts_with("cancellationPolicy"), "{text}");
    let after = full(&sandbox, id).await;
    assert_eq!((&after["listingAmenities"], &after["listingImages"]), (&json!([]), &json!([])));
    assert_eq!(after["name"], "Casa Limonar");
    assert_eq!(after["listingBedTypes"].as_array().unwrap().len(), 1);
    assert_eq!(after["thumbnailUrl"], Value::Null);
}

#[tokio::test]
async fn a_filled_array_replaces_the_set() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let patch = json!({ "listingAmenities": [{"amenityId": 7}], "listingBedTypes": [{"bedTypeId": 9}] });
    let answer = sandbox.put(&format!("/v1/listings/{id}"), &patch).await;
    let amenities = answer["listingAmenities"].as_array().unwrap();
    assert_eq!(amenities.iter().map(|row| &row["amenityId"]).collect::<Vec<_>>(), [&json!(7)]);
    assert!(amenities[0]["id"].is_u64());
    assert_eq!(
        (&answer["listingBedTypes"][0]["bedTypeId"], &answer["listingBedTypes"][0]["quantity"]),
        (&json!(9), &json!(1))
    );
}

#[tokio::test]
async fn bad_values_refuse_the_whole_request_and_name_the_field() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    for (field, value) in [
        ("listingAmenities", json!([{"amenityId": 2}, {"amenityId": 99_999}])),
        ("listingBedTypes", json!([{"bedTypeId": 99}])),
        ("listingAmenities", json!("all")),
        ("propertyTypeId", json!(9_999)),
        ("countryCode", json!("XX")),
        ("currencyCode", json!("EURO")),
        ("timeZoneName", json!("Europe/Atlantis")),
        ("checkInTimeStart", json!(24)),
        ("price", json!("cheap")),
        ("personCapacity", json!(2.5)),
        ("roomType", json!("castle")),
        ("lat", json!(91)),
        ("description", json!(12)),
    ] {
        let patch = json!({ "name": "Half applied", field: value });
        let text = sandbox.refused(Method::PUT, &format!("/v1/listings/{id}"), &patch, "message").await;
        assert!(text.starts_with(field), "{field}: {text}");
    }
    let bad_image =
        json!({ "name": "x", "listingImages": [{"url": "https://a.org/1.jpg"}, {"url": "ftp://a.org/2.jpg"}] });
    let text = sandbox.refused(Method::PUT, &format!("/v1/listings/{id}"), &bad_image, "message").await;
    assert_eq!(text, "Image at index 1 has an invalid URL: ftp://a.org/2.jpg");
    let after = full(&sandbox, id).await;
    assert_eq!(after["name"], "Casa Limonar");
    assert_eq!(after["listingImages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn numbers_as_strings_and_booleans_as_flags_are_tolerated() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let patch =
        json!({ "price": "99.5", "personCapacity": "6", "instantBookable": false, "bookingcomPropertyHasVat": 1 });
    let answer = sandbox.put(&format!("/v1/listings/{id}"), &patch).await;
    let got =
        ["price", "personCapacity", "instantBookable", "bookingcomPropertyHasVat"].map(|name| answer[name].clone());
    assert_eq!(got, [json!(99.5), json!(6), json!(0), json!(true)]);
}

#[tokio::test]
async fn nested_arrays_are_empty_not_absent_without_include_resources() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let one = sandbox.get(&format!("/v1/listings/{id}")).await;
    let list = sandbox.get("/v1/listings").await;
    for row in [&one, &list[0]] {
        for key in ["listingAmenities", "listingBedTypes", "listingImages", "customFieldValues"] {
            assert_eq!(row[key], json!([]), "{key}");
        }
    }
    assert_eq!(one["country"], "Spain");
    assert_eq!(sandbox.get("/v1/listings?includeResources=1").await[0], full(&sandbox, id).await);
}

#[tokio::test]
async fn a_create_needs_both_names_and_is_not_idempotent() {
    let sandbox = sandbox().await;
    for missing in ["name", "externalListingName"] {
        let mut body = villa("ref-1");
        body.as_object_mut().unwrap().remove(missing);
        let text = sandbox.refused(Method::POST, "/v1/listings", &body, "message").await;
        assert!(text.starts_with(missing), "{text}");
    }
    assert_ne!(sandbox.create("ref-1").await, sandbox.create("ref-1").await);
    sandbox.create("ref-2").await;
    let summary = sandbox.inspect(Method::GET, "/summary", None).await;
    assert_eq!(summary["accounts"]["1001"]["listings"], 3);
    assert_eq!(summary["accounts"]["1001"]["duplicate_references"], 2);
}

#[tokio::test]
async fn match_finds_a_reference_and_parts_of_names() {
    let sandbox = sandbox().await;
    let wanted = sandbox.create("Limonar [u-0042]").await;
    sandbox.create("Limonar [u-0043]").await;
    let ids =
        |rows: Value| -> Vec<u64> { rows.as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect() };
    assert_eq!(ids(sandbox.get("/v1/listings?match=%5Bu-0042%5D").await), [wanted]);
    assert_eq!(ids(sandbox.get("/v1/listings?match=u-0042").await), [wanted]);
    assert_eq!(ids(sandbox.get("/v1/listings?match=casa%20lim").await).len(), 2);
    sandbox.put(&format!("/v1/listings/{wanted}"), &json!({ "internalListingName": "Limonar [u-0099]" })).await;
    assert_eq!(ids(sandbox.get("/v1/listings?match=%5Bu-0042%5D").await), [0_u64; 0]);
    assert_eq!(ids(sandbox.get("/v1/listings?match=%5Bu-0099%5D").await), [wanted]);
    sandbox.result(Method::DELETE, &format!("/v1/listings/{wanted}"), None).await;
    assert_eq!(ids(sandbox.get("/v1/listings?match=%5Bu-0099%5D").await), [0_u64; 0]);
}

#[tokio::test]
async fn lists_are_paged_and_unknown_parameters_ignored() {
    let sandbox = sandbox().await;
    for n in 0..5 {
        sandbox.create(&format!("ref-{n}")).await;
    }
    let (_, page) =
        sandbox.call(Method::GET, "/v1/listings?limit=2&offset=4&noSuchFilter=1&sortOrder=name", None).await;
    let keys = ["limit", "offset", "count", "page", "totalPages"].map(|key| page[key].as_u64().unwrap());
    assert_eq!(keys, [2, 4, 5, 3, 3]);
    assert_eq!(page["result"].as_array().unwrap().len(), 1);
    assert_eq!(sandbox.get("/v1/listings?city=malaga&propertyTypeId=3").await.as_array().unwrap().len(), 5);
    assert_eq!(sandbox.get("/v1/listings?city=Berlin").await, json!([]));
}

#[tokio::test]
async fn archived_listings_refuse_every_write() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    sandbox.inspect(Method::PUT, &format!("/accounts/{ACCOUNT}/listings/{id}/archive"), None).await;
    let night = json!({ "startDate": "2030-01-01", "endDate": "2030-01-01", "price": 1 });
    for (method, path, body) in [
        (Method::PUT, "", json!({ "listingAmenities": [] })),
        (Method::PUT, "/calendar", night.clone()),
        (Method::PUT, "/calendarIntervals", json!([night])),
        (Method::POST, "/images", json!({ "images": [{"url": "https://a.org/1.jpg"}] })),
    ] {
        let text = sandbox.refused(method, &format!("/v1/listings/{id}{path}"), &body, "message").await;
        assert!(text.contains("archived"), "{text}");
    }
    let after = full(&sandbox, id).await;
    assert_eq!(after["specialStatus"], "archived");
    assert_eq!(after["listingAmenities"].as_array().unwrap().len(), 2, "refused before anything is wiped");
}

#[tokio::test]
async fn unknown_ids_and_routes_are_404_and_bad_json_is_400() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    for (method, path) in [
        (Method::GET, "/v1/listings/1".to_owned()),
        (Method::PUT, "/v1/listings/1".to_owned()),
        (Method::DELETE, "/v1/listings/1".to_owned()),
        (Method::GET, "/v1/listings/abc".to_owned()),
        (Method::GET, "/v1/nothing".to_owned()),
        (Method::PUT, format!("/v1/listings/{id}/calendar/2030-01-01")),
        (Method::PATCH, format!("/v1/listings/{id}")),
    ] {
        let (status, body) = sandbox.call(method, &path, Some(&json!({}))).await;
        assert_eq!((status, &body["status"]), (StatusCode::NOT_FOUND, &json!("fail")), "{path}");
    }
    let request = sandbox.http.put(format!("{}/v1/listings/{id}", sandbox.base)).bearer_auth(&sandbox.token);
    assert_eq!(request.body("{\"name\":").send().await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_lookup_table_is_served() {
    let sandbox = sandbox().await;
    for (path, least) in [
        ("amenities", 60),
        ("propertyTypes", 20),
        ("bedTypes", 10),
        ("cancellationPolicies", 4),
        ("currencies", 30),
        ("countries", 200),
        ("timezones", 300),
        ("languages", 20),
    ] {
        let table = sandbox.get(&format!("/v1/{path}")).await;
        let rows = table.as_array().map(Vec::len).or_else(|| table.as_object().map(serde_json::Map::len)).unwrap();
        assert!(rows >= least, "{path}: {rows}");
    }
}
