//! Canonical JSON (RFC 8785). What a unit and a payload consist of is written fast; anything unusual goes to the
//! library, and a property holds the two against each other.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// Integers up to here are exact in JavaScript's numbers, which RFC 8785 writes.
const LARGEST_EXACT: u64 = 1 << 53;
/// From here on, and below [`SMALLEST_PLAIN`], a fraction may need an exponent.
const LARGEST_PLAIN: f64 = 1e15;
/// See [`LARGEST_PLAIN`].
const SMALLEST_PLAIN: f64 = 1e-5;

/// Canonical JSON text of a value.
pub fn canonical_json(value: &Value) -> String {
    if !is_plain(value) {
        return serde_json_canonicalizer::to_string(value).expect("a JSON value has a canonical form");
    }
    let mut text = Vec::with_capacity(4096);
    let mut writer = Serializer::with_formatter(&mut text, Canonical);
    value.serialize(&mut writer).expect("a JSON value can be written to memory");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// Keys in order, and of characters for which the order of bytes is that of UTF-16; numbers without an exponent.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => {
            if let Some(whole) = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64()) {
                return whole <= LARGEST_EXACT;
            }
            number.as_f64().is_some_and(|number| {
                let size = number.abs();
                size < LARGEST_PLAIN && (number.fract() == 0.0 || size >= SMALLEST_PLAIN)
            })
        }
        Value::Array(values) => values.iter().all(is_plain),
        Value::Object(fields) => {
            fields.iter().all(|(key, value)| key.is_ascii() && is_plain(value)) && fields.keys().is_sorted()
        }
    }
}

/// Compact, and without the fraction of a whole number; minus zero is zero.
struct Canonical;

impl Formatter for Canonical {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        if value.fract() == 0.0 {
            write!(writer, "{:.0}", value + 0.0)
        } else {
            CompactFormatter.write_f64(writer, value)
        }
    }
}
