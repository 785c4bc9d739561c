//! Whatever JSON arrives, parsing ends with a unit or with named problems, and what was accepted can be hashed and
//! mapped.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use domain::channel::ChannelKind;
use domain::hash::SnapshotHash;
use domain::ids::{ListingId, TargetId};
use domain::mapping;
use domain::unit::{UnitChanged, parse};
use proptest::prelude::*;
use serde_json::{Value, json};

fn example() -> Value {
    serde_json::from_str(include_str!("../../nats/examples/unit-changed.v1.json")).unwrap()
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-3_i64..2000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]".prop_map(Value::from),
        "[a-z]{2}(-[A-Z]{2})?".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,12}", inner, 0..6).prop_map(|fields| json!(fields)),
        ]
    })
}

/// Every place in a document, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{at}/{index}"), found));
        }
        Value::Object(fields) => fields.iter().for_each(|(key, item)| places(item, &format!("{at}/{key}"), found)),
        _ => {}
    }
}

/// Whether a text is read at once or by way of a tree makes no difference.
fn is_read_the_same_as_a_snapshot(body: &Value) {
    let text = serde_json::to_vec(body).unwrap();
    let by_tree = UnitChanged::from_value(serde_json::from_slice(&text).unwrap());
    assert_eq!(UnitChanged::from_json(&text), by_tree.map(|unit| UnitChanged { raw: Value::Null, ..unit }));
}

fn check(body: &Value) {
    is_read_the_same_as_a_snapshot(body);
    match UnitChanged::from_value(body.clone()) {
        Ok(change) => {
            let listing = ListingId::of(TargetId(uuid::Uuid::nil()), &change.unit_id);
            let payload = mapping::map(ChannelKind::Hostaway, &change, &listing);
            for section in payload.sections.values() {
                assert_ne!(section.body, json!([]), "an empty array deletes at the channel");
            }
            assert_eq!(change.raw, *body);
            SnapshotHash::of_json(&change.raw);
        }
        Err(error) => {
            assert!(!error.problems.is_empty());
            assert!(error.problems.iter().all(|problem| !problem.field.is_empty() && !problem.reason.is_empty()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_documents_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4)) {
        let mut body = example();
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&body, "", &mut found);
            *body.pointer_mut(place.get::<String>(&found)).unwrap() = value;
        }
        check(&body);
    }

    #[test]
    fn arbitrary_json_never_panics(body in any_json()) {
        check(&body);
    }

    #[test]
    fn arbitrary_bytes_never_panic(cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = serde_json::to_vec(&example()).unwrap();
        let at = cut.index(body.len());
        body[at] = byte;
        if let Err(error) = parse(&body) {
            prop_assert!(!error.problems.is_empty());
        }
        body.truncate(at);
        prop_assert!(parse(&body).is_err());
    }
}
