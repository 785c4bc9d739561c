//! Does the channel show what the unit says? Every field is taken from the unit's own body, not from the mapping that
//! the service sends by, so that an error of the mapping is a difference too.

mod content;
mod nights;

use std::fmt;

use serde_json::Value;

/// One field of one unit that is not at the channel as the unit says.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The unit.
    pub unit_id: String,
    /// The channel's field, or `night 2030-01-01 price`.
    pub field: String,
    /// What should be there.
    pub wanted: Value,
    /// What is there.
    pub found: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: should be {}, is {}", self.unit_id, self.field, self.wanted, self.found)
    }
}

/// Gathers the differences of one unit.
struct Comparison<'a> {
    body: &'a Value,
    unit: &'a Value,
    found: Vec<Difference>,
}

/// Compares the body of a `unit.changed` message with a Hostaway listing as the sandbox's inspection API shows it, and
/// with the listing's days, which must cover the unit's calendar.
pub fn differences(body: &Value, listing: &Value, days: &[Value]) -> Vec<Difference> {
    let mut comparison = Comparison { body, unit: &body["unit"], found: Vec::new() };
    comparison.content(listing);
    comparison.nights(days);
    comparison.found
}

impl Comparison<'_> {
    fn same(&mut self, field: impl Into<String>, wanted: impl Into<Value>, found: &Value) {
        let wanted = wanted.into();
        if !equal(&wanted, found) {
            self.differs(field, wanted, found.clone());
        }
    }

    fn differs(&mut self, field: impl Into<String>, wanted: Value, found: Value) {
        let unit_id = self.body["unit_id"].as_str().unwrap_or("?").to_owned();
        self.found.push(Difference { unit_id, field: field.into(), wanted, found });
    }
}

/// Numbers are equal where they are within a tenth of a cent, flags where they are 0 or 1; an unset text is no text.
fn equal(wanted: &Value, found: &Value) -> bool {
    let number = |value: &Value| value.as_f64().or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))));
    match (number(wanted), number(found)) {
        (Some(wanted), Some(found)) => (wanted - found).abs() < 0.001,
        _ => wanted == found || (wanted.as_str() == Some("") && found.is_null()),
    }
}

/// Major units of minor ones: every currency of the villas has two digits.
fn major(minor: &Value) -> Value {
    minor.as_f64().map_or(Value::Null, |minor| (minor / 100.0).into())
}
