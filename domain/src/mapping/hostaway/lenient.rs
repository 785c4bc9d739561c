//! When two JSON values mean the same to Hostaway: booleans are 0 and 1, numbers may come as text, prices may be
//! rounded to the cent, and a missing text is an empty one.

use serde_json::Value;

/// Half a cent: what rounding to two decimals may change. The last digits are for the arithmetic of doubles.
const TOLERANCE: f64 = 0.005 + 1e-9;

pub(super) fn same(sent: &Value, answered: &Value) -> bool {
    match (sent, answered) {
        (Value::String(sent), Value::String(answered)) => sent.trim() == answered.trim(),
        (Value::String(text), Value::Null) | (Value::Null, Value::String(text)) => text.trim().is_empty(),
        _ => match (number(sent), number(answered)) {
            (Some(sent), Some(answered)) => (sent - answered).abs() <= TOLERANCE,
            _ => sent == answered,
        },
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
