//! Images: asynchronous import, Hostaway URLs in place of the source, rows kept when a set is reordered.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, Sandbox, sandbox};

async fn images(sandbox: &Sandbox, id: u64) -> Vec<Value> {
    let listing = sandbox.get(&format!("/v1/listings/{id}?includeResources=1")).await;
    listing["listingImages"].as_array().unwrap().clone()
}

#[tokio::test]
async fn stored_images_have_hostaway_urls_and_their_source_is_seen_in_the_inspection_only() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let rows = images(&sandbox, id).await;
    assert_eq!(rows.iter().map(|row| row["caption"].as_str().unwrap()).collect::<Vec<_>>(), ["Front", "Garden"]);
    for row in &rows {
        let url = row["url"].as_str().unwrap();
        assert!(url.starts_with("https://hostaway-platform.s3.us-west-2.amazonaws.com/listing/"), "{url}");
        assert_eq!(row.get("sourceUrl"), None);
    }
    let seen = sandbox.inspect(Method::GET, &format!("/accounts/{ACCOUNT}/listings"), None).await;
    let seen = &seen["listings"][0];
    assert_eq!(seen["listingImages"][0]["sourceUrl"], "https://cdn.example.org/1.jpg");
    assert_eq!(seen["thumbnailUrl"], rows[0]["url"]);
    assert_eq!(seen["isComplete"], true);
}

#[tokio::test]
async fn posted_images_appear_after_the_delay() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let body = json!({ "images": [{"url": "https://a.org/3.jpg", "sortOrder": 3}, {"url": "https://a.org/0.jpg"}] });
    let answer = sandbox.result(Method::POST, &format!("/v1/listings/{id}/images"), Some(&body)).await;
    assert_eq!(answer["imagesCount"], 2);
    assert_eq!(images(&sandbox, id).await.len(), 2);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let orders: Vec<_> = images(&sandbox, id).await.iter().map(|row| row["sortOrder"].as_i64().unwrap()).collect();
    assert_eq!(orders, [0, 1, 2, 3]);
}

#[tokio::test]
async fn errors_carry_the_index_of_the_bad_image() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let good = json!({ "url": "https://a.org/1.jpg" });
    for (images, text) in [
        (json!([]), "The \"images\" parameter is required and must be a non-empty array."),
        (json!([good, 7]), "Image at index 1 must be an object."),
        (json!([{ "caption": "x" }]), "Image at index 0 is missing the required \"url\" field."),
        (json!([good, { "url": "not-a-valid-url" }]), "Image at index 1 has an invalid URL: not-a-valid-url"),
    ] {
        let body = json!({ "images": images });
        let path = format!("/v1/listings/{id}/images");
        assert_eq!(sandbox.refused(Method::POST, &path, &body, "result").await, text);
    }
}

#[tokio::test]
async fn putting_the_stored_urls_reorders_and_removes() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let before = images(&sandbox, id).await;
    let body = json!({ "listingImages": [{ "url": before[1]["url"], "caption": "Now first", "sortOrder": 1 }] });
    sandbox.put(&format!("/v1/listings/{id}"), &body).await;
    let after = images(&sandbox, id).await;
    assert_eq!(after.len(), 1);
    assert_eq!((&after[0]["id"], &after[0]["url"]), (&before[1]["id"], &before[1]["url"]));
    assert_eq!(after[0]["caption"], "Now first");
}
