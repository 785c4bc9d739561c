//! The smallest unit that a listing can be made of, for tests that need many of them.

use serde_json::{Value, json};

/// The body of a small unit. Each revision has another price of its own, so that no two revisions are sent alike.
pub fn small_villa(org: &str, unit: &str, revision: u64) -> Value {
    json!({
        "org_id": org,
        "account_id": "main",
        "unit_id": unit,
        "revision": revision,
        "unit": {
            "name": { "en": format!("Villa {unit}") },
            "description": { "en": "Two rooms and a garden." },
            "default_locale": "en",
            "property_type": "villa",
            "room_type": "entire_home",
            "capacity": {
                "guests": 4,
                "bedrooms": 2,
                "bathrooms": 1,
                "beds": [{ "type": "double", "quantity": 2 }],
            },
            "address": { "street": "Lane 1", "city": "Canggu", "country": "ID" },
            "coordinates": { "latitude": -8.65, "longitude": 115.13 },
            "time_zone": "Asia/Makassar",
            "check_in": { "from": "15:00" },
            "check_out": { "until": "11:00" },
            "amenities": ["wifi", "pool"],
            "photos": [{ "url": format!("https://photos.example.org/{unit}/pool.jpg") }],
            "prices": { "currency": "EUR", "nightly": 10_000 + revision },
            "stay_limits": { "minimum_nights": 2, "maximum_nights": 30 },
            "cancellation_policy": "moderate",
            "calendar": [
                { "first_night": "2031-03-01", "last_night": "2031-03-10", "available": true },
                { "first_night": "2031-03-11", "last_night": "2031-03-14", "available": false },
                {
                    "first_night": "2031-03-15", "last_night": "2031-03-31", "available": true,
                    "nightly_price": 12_000 + revision, "minimum_stay": 5,
                },
            ],
        },
    })
}
