//! The calendar: inclusive ranges, fields that stay, silent accepts, the cap of 200 intervals, reserved nights.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, Sandbox, sandbox};

async fn nights(sandbox: &Sandbox, id: u64, first: &str, last: &str) -> Vec<Value> {
    let path = format!("/v1/listings/{id}/calendar?startDate={first}&endDate={last}&includeResources=1");
    sandbox.get(&path).await.as_array().unwrap().clone()
}

fn column(nights: &[Value], key: &str) -> Vec<Value> {
    nights.iter().map(|night| night[key].clone()).collect()
}

async fn reserve(sandbox: &Sandbox, id: u64, status: &str) -> u64 {
    let seed = json!({ "account_id": ACCOUNT, "listing_id": id, "arrival_date": "2030-05-17",
        "departure_date": "2030-05-19", "status": status, "guest_name": "Ada" });
    sandbox.inspect(Method::POST, "/reservations", Some(&seed)).await["id"].as_u64().unwrap()
}

#[tokio::test]
async fn nights_without_a_write_show_the_listings_values() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let night = &nights(&sandbox, id, "2030-05-01", "2030-05-01").await[0];
    assert_eq!((&night["date"], &night["price"]), (&json!("2030-05-01"), &json!(140.0)));
    assert_eq!((&night["minimumStay"], &night["maximumStay"]), (&json!(2), &json!(60)));
    assert_eq!((&night["isAvailable"], &night["status"]), (&json!(1), &json!("available")));
    assert_eq!((&night["closedOnArrival"], &night["reservations"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn one_interval_includes_its_end_and_answers_its_nights() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let body =
        json!({ "startDate": "2030-05-02", "endDate": "2030-05-03", "isAvailable": 0, "price": 90.5, "note": "paint" });
    let answer = sandbox.put(&format!("/v1/listings/{id}/calendar"), &body).await;
    assert_eq!(column(answer.as_array().unwrap(), "date"), [json!("2030-05-02"), json!("2030-05-03")]);
    let after = nights(&sandbox, id, "2030-05-01", "2030-05-04").await;
    assert_eq!(column(&after, "isAvailable"), [json!(1), json!(0), json!(0), json!(1)]);
    assert_eq!(column(&after, "status")[1], "blocked");
    assert_eq!(column(&after, "price"), [json!(140.0), json!(90.5), json!(90.5), json!(140.0)]);
}

#[tokio::test]
async fn intervals_keep_what_they_omit_or_null() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let path = format!("/v1/listings/{id}/calendarIntervals");
    let first = json!([{ "startDate": "2030-05-02", "endDate": "2030-05-02", "isAvailable": 0, "minimumStay": 5, "closedOnArrival": 1 }]);
    assert_eq!(sandbox.put(&path, &first).await, json!([]));
    let second = json!([{ "startDate": "2030-05-02", "endDate": "2030-05-02", "price": 200, "minimumStay": null }]);
    sandbox.put(&path, &second).await;
    let night = &nights(&sandbox, id, "2030-05-02", "2030-05-02").await[0];
    let got = ["isAvailable", "minimumStay", "closedOnArrival", "price"].map(|key| night[key].clone());
    assert_eq!(got, [json!(0), json!(5), json!(1), json!(200.0)]);
}

#[tokio::test]
async fn wrong_shapes_on_the_one_interval_route_succeed_and_write_nothing() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let row = json!({ "startDate": "2030-05-02", "endDate": "2030-05-02", "price": 1 });
    for body in [
        json!([row]),
        json!({ "dailyPrices": [row] }),
        json!({ "data": [row] }),
        json!({ "date": "2030-05-02", "price": 1 }),
    ] {
        assert_eq!(sandbox.put(&format!("/v1/listings/{id}/calendar"), &body).await, json!([]));
    }
    assert_eq!(nights(&sandbox, id, "2030-05-02", "2030-05-02").await[0]["price"], 140.0);
}

#[tokio::test]
async fn two_hundred_intervals_are_taken_and_one_more_refused() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let path = format!("/v1/listings/{id}/calendarIntervals");
    let start: chrono::NaiveDate = "2030-01-01".parse().unwrap();
    let rows: Vec<_> =
        start.iter_days().take(201).map(|d| json!({ "startDate": d, "endDate": d, "price": 77 })).collect();
    let text = sandbox.refused(Method::PUT, &path, &json!(rows), "result").await;
    assert!(text.contains("200"), "{text}");
    assert_eq!(nights(&sandbox, id, "2030-01-01", "2030-01-01").await[0]["price"], 140.0);
    sandbox.put(&path, &json!(rows[..200])).await;
    let after = nights(&sandbox, id, "2030-01-01", "2030-12-31").await;
    assert_eq!((after.len(), after.iter().filter(|night| night["price"] == 77.0).count()), (365, 200));
}

#[tokio::test]
async fn a_bad_interval_is_named_and_nothing_is_written() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let good = json!({ "startDate": "2030-05-02", "endDate": "2030-05-02", "price": 1 });
    for (bad, part) in [
        (json!({ "price": 1 }), "needs startDate"),
        (json!(7), "must be an object"),
        (json!({ "startDate": "2030-05-03", "endDate": "2030-05-02" }), "before startDate"),
        (json!({ "startDate": "soon", "endDate": "2030-05-02" }), "startDate must be a date"),
        (json!({ "startDate": "2030-05-02", "endDate": "2030-05-02", "minimumStay": 0 }), "minimumStay"),
        (json!({ "startDate": "2030-05-02", "endDate": "2030-05-02", "price": -1 }), "price"),
        (json!({ "startDate": "2030-05-02", "endDate": "2030-05-02", "isAvailable": 2 }), "isAvailable"),
    ] {
        let path = format!("/v1/listings/{id}/calendarIntervals");
        let text = sandbox.refused(Method::PUT, &path, &json!([good, bad]), "result").await;
        assert!(text.starts_with("Interval at index 1") && text.contains(part), "{text}");
    }
    assert_eq!(nights(&sandbox, id, "2030-05-02", "2030-05-02").await[0]["price"], 140.0);
}

#[tokio::test]
async fn writes_on_reserved_nights_succeed_and_are_not_applied() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let reservation = reserve(&sandbox, id, "new").await;
    let body = json!([{ "startDate": "2030-05-16", "endDate": "2030-05-19", "isAvailable": 1, "price": 10, "minimumStay": 9 }]);
    sandbox.put(&format!("/v1/listings/{id}/calendarIntervals"), &body).await;
    let held = nights(&sandbox, id, "2030-05-16", "2030-05-19").await;
    assert_eq!(column(&held, "status"), ["available", "reserved", "reserved", "available"].map(Value::from));
    assert_eq!(column(&held, "isAvailable"), [1, 0, 0, 1].map(Value::from));
    assert_eq!(column(&held, "price"), [10.0, 140.0, 140.0, 10.0].map(Value::from));
    assert_eq!(column(&held, "minimumStay"), [9, 2, 2, 9].map(Value::from));
    assert_eq!(held[1]["reservations"][0]["id"], reservation);

    let cancelled = json!({ "account_id": ACCOUNT, "status": "cancelled" });
    sandbox.inspect(Method::PUT, &format!("/reservations/{reservation}/status"), Some(&cancelled)).await;
    sandbox.put(&format!("/v1/listings/{id}/calendarIntervals"), &body).await;
    let freed = nights(&sandbox, id, "2030-05-16", "2030-05-19").await;
    assert_eq!(column(&freed, "price"), [10.0; 4].map(Value::from));
    assert_eq!(column(&freed, "status"), ["available"; 4].map(Value::from));
}

#[tokio::test]
async fn reservations_are_listed_by_listing_and_cursor() {
    let sandbox = sandbox().await;
    let (first, second) = (sandbox.create("ref-1").await, sandbox.create("ref-2").await);
    let a = reserve(&sandbox, first, "inquiry").await;
    let b = reserve(&sandbox, first, "pending").await;
    let c = reserve(&sandbox, second, "new").await;
    assert_eq!(nights(&sandbox, first, "2030-05-17", "2030-05-17").await[0]["status"], "pending");
    let ids = |rows: &Value| column(rows.as_array().unwrap(), "id");
    assert_eq!(ids(&sandbox.get("/v1/reservations").await), [c, b, a].map(Value::from));
    assert_eq!(ids(&sandbox.get(&format!("/v1/reservations?listingId={first}")).await), [b, a].map(Value::from));
    assert_eq!(ids(&sandbox.get(&format!("/v1/reservations?listingMapId={first}")).await).len(), 3);
    assert_eq!(ids(&sandbox.get(&format!("/v1/reservations?limit=1&afterId={c}")).await), [b].map(Value::from));
    assert_eq!(sandbox.get(&format!("/v1/reservations/{a}")).await["guestName"], "Ada");
}
