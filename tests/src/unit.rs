//! Unit messages: the contract's example under other names and with single changes.

use serde_json::{Value, json};

use crate::world::{ACCOUNT, ORG};

/// A valid unit message with a year that is two seasons, five bookings and a year's prices.
pub fn unit(name: &str, revision: u64) -> Value {
    let mut message: Value = serde_json::from_str(include_str!("../../nats/examples/unit-changed.v1.json"))
        .expect("the example of the contract is JSON");
    message["org_id"] = json!(ORG);
    message["account_id"] = json!(ACCOUNT);
    message["unit_id"] = json!(name);
    message["revision"] = json!(revision);
    message["unit"]["name"]["en"] = json!(format!("Villa {name}"));
    message
}

/// The same with another description: content changes, nothing else.
pub fn described(name: &str, revision: u64, description: &str) -> Value {
    let mut message = unit(name, revision);
    message["unit"]["description"]["en"] = json!(description);
    message
}

/// The same of many.
pub fn all_described(names: &[String], revision: u64, description: &str) -> Vec<Value> {
    names.iter().map(|name| described(name, revision, description)).collect()
}

/// The same with the first range of its calendar taken or free: availability changes, nothing else.
pub fn first_range(name: &str, revision: u64, available: bool) -> Value {
    let mut message = unit(name, revision);
    message["unit"]["calendar"][0]["available"] = json!(available);
    message
}

/// Names of units: `villa-000`, `villa-001` and so on.
pub fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("villa-{index:03}")).collect()
}
