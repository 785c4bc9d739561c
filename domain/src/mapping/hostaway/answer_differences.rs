//! What Hostaway answered with success but did not take. Read-only and unknown fields are ignored there without a word,
//! so the listing in the answer is held against what was sent.

use serde_json::{Map, Value};

use super::lenient::same;
use crate::channel::{RejectedPart, Section};

/// A field that is not what was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct ContentDifference {
    /// Hostaway's name of the field, e.g. `cleaningFee`.
    pub field: String,
    /// What was sent; null for a row of an array that stands in the answer only.
    pub sent: Value,
    /// What the answer says; null where it says nothing.
    pub answered: Value,
}

impl ContentDifference {
    /// The same as a rejected part of the listing.
    pub fn to_rejected_part(&self) -> RejectedPart {
        let section = if self.field == "listingImages" { Section::Images } else { Section::Content };
        RejectedPart {
            section,
            part: format!("listing.{}", self.field),
            value: self.sent.to_string(),
            reason: format!("Hostaway answered with success but kept {}", self.answered),
        }
    }
}

/// Compares the fields that were sent with the listing in the answer.
///
/// Arrays are compared as sets of what counts in a row; an array that the answer leaves out or gives as null was not
/// loaded and tells nothing. The answer must hold nested resources (`includeResources=1` on a read): without it Hostaway
/// gives empty arrays, which look like rows that were refused.
pub fn content_differences(sent: &Value, answered: &Value) -> Vec<ContentDifference> {
    let mut differences = Vec::new();
    for (field, sent) in sent.as_object().into_iter().flatten() {
        let answered = answered.get(field).unwrap_or(&Value::Null);
        match (sent, answered) {
            (Value::Array(_), Value::Null) => {}
            (Value::Array(sent), Value::Array(answered)) => row_differences(field, sent, answered, &mut differences),
            _ if same(sent, answered) => {}
            _ => differences.push(ContentDifference {
                field: field.clone(),
                sent: sent.clone(),
                answered: answered.clone(),
            }),
        }
    }
    differences
}

/// Texts that hosts alone write and a unit may lack. One that is left out stays at Hostaway, and whether an empty text
/// clears it is not documented.
const OPTIONAL_TEXTS: [&str; 2] = ["airbnbSummary", "houseRules"];

/// Texts that the unit does not have any more and the listing in the answer still has.
pub fn kept_texts(sent: &Value, answered: &Value) -> Vec<RejectedPart> {
    let kept = |field: &&str| {
        let text = answered.get(*field)?.as_str().filter(|text| !text.trim().is_empty())?;
        sent.get(*field).is_none().then(|| RejectedPart {
            section: Section::Content,
            part: format!("listing.{field}"),
            value: String::new(),
            reason: format!("the unit has none, but Hostaway keeps {text:?}; remove it there"),
        })
    };
    OPTIONAL_TEXTS.iter().filter_map(kept).collect()
}

/// The keys that count in the rows of an array. Hostaway adds row ids, and stores photos under URLs of its own.
fn meaningful_keys<'a>(field: &str, sent: &'a [Value]) -> Vec<&'a str> {
    match field {
        "listingAmenities" => vec!["amenityId"],
        "listingBedTypes" => vec!["bedTypeId", "quantity"],
        "listingImages" => vec!["caption", "sortOrder"],
        _ => sent
            .first()
            .and_then(Value::as_object)
            .map(|row| row.keys().map(String::as_str).collect())
            .unwrap_or_default(),
    }
}

fn row_differences(field: &str, sent: &[Value], answered: &[Value], differences: &mut Vec<ContentDifference>) {
    let keys = meaningful_keys(field, sent);
    let equal = |a: &Value, b: &Value| keys.iter().all(|key| same(part(a, key), part(b, key)));
    let shown = |row: &Value| -> Value {
        let parts = keys.iter().filter_map(|key| Some(((*key).to_owned(), row.get(key)?.clone())));
        Value::Object(parts.collect::<Map<String, Value>>())
    };
    let lost = sent.iter().filter(|row| !answered.iter().any(|other| equal(row, other)));
    let kept = answered.iter().filter(|row| !sent.iter().any(|other| equal(other, row)));
    let lost = lost.map(|row| (shown(row), Value::Null));
    let kept = kept.map(|row| (Value::Null, shown(row)));
    for (sent, answered) in lost.chain(kept) {
        differences.push(ContentDifference { field: field.to_owned(), sent, answered });
    }
}

fn part<'a>(row: &'a Value, key: &str) -> &'a Value {
    row.get(key).unwrap_or(&Value::Null)
}
