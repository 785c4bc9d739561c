//! Canonical JSON is what the library of RFC 8785 makes of it, whatever the value.

use domain::canonical::canonical_json;
use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1_000_000_i64..1_000_000).prop_map(|cents| json!(cents as f64 / 100.0)),
        any::<f64>().prop_map(|float| Number::from_f64(float).map_or(Value::Null, Value::Number)),
        (-40_i32..40, -999_i64..999).prop_map(|(power, factor)| json!(factor as f64 * 10_f64.powi(power))),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::Bool), number(), ".*".prop_map(Value::from)];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let key = prop_oneof!["[a-z]{1,8}", ".{0,6}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            proptest::collection::vec((key, inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn is_what_the_library_writes(value in value()) {
        let library = serde_json_canonicalizer::to_string(&value).expect("it has a canonical form");
        prop_assert_eq!(canonical_json(&value), library);
    }
}

#[test]
fn numbers_and_escapes_are_those_of_javascript() {
    let value = json!({"b": [250.0, -0.0, 1e-7, 1e21, 12.34, 9_007_199_254_740_993_u64], "a": "\u{1}\n\"é"});
    let text = canonical_json(&value);
    assert_eq!(text, "{\"a\":\"\\u0001\\n\\\"é\",\"b\":[250,0,1e-7,1e+21,12.34,9007199254740992]}");
}
