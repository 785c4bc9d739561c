//! The nested rows of a listing: amenities, bed types, images, custom field values. Each row has an id of its own;
//! a stored image has a Hostaway S3 URL, and its source URL can only be seen through the inspection API.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lookups::tables;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amenity {
    pub id: u64,
    pub amenity_id: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BedType {
    pub id: u64,
    pub bed_type_id: u64,
    pub quantity: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomField {
    pub id: u64,
    pub custom_field_id: u64,
    pub value: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    pub id: u64,
    pub url: String,
    /// Present in the inspection API alone.
    #[serde(skip)]
    pub source_url: String,
    #[serde(flatten)]
    pub texts: Captions,
    pub sort_order: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Captions {
    pub caption: Option<String>,
    pub booking_engine_caption: Option<String>,
    pub airbnb_caption: Option<String>,
    pub vrbo_caption: Option<String>,
}

/// Images in the state file: with their source URLs.
pub mod sourced {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Image;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Row<'a> {
        source_url: Cow<'a, str>,
        image: Cow<'a, Image>,
    }

    pub fn serialize<S: Serializer>(images: &[Image], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            images
                .iter()
                .map(|image| Row { source_url: Cow::Borrowed(&image.source_url), image: Cow::Borrowed(image) }),
        )
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Image>, D::Error> {
        let read = |row: Row<'_>| Image { source_url: row.source_url.into_owned(), ..row.image.into_owned() };
        Ok(Vec::<Row<'_>>::deserialize(from)?.into_iter().map(read).collect())
    }
}

/// An image as a client sends it.
#[derive(Debug, Clone)]
pub struct NewImage {
    pub url: String,
    pub texts: Captions,
    pub sort_order: i64,
}

impl NewImage {
    /// The documented refusals of the images route, with the index of the bad image.
    pub fn read(index: usize, value: &Value) -> Result<Self, String> {
        let row = value.as_object().ok_or_else(|| format!("Image at index {index} must be an object."))?;
        let url = row.get("url").and_then(Value::as_str).filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| format!("Image at index {index} is missing the required \"url\" field."))?;
        if !is_web_url(url) {
            return Err(format!("Image at index {index} has an invalid URL: {url}"));
        }
        let text = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            url: url.to_owned(),
            texts: Captions {
                caption: text("caption"),
                booking_engine_caption: text("bookingEngineCaption"),
                airbnb_caption: text("airbnbCaption"),
                vrbo_caption: text("vrboCaption"),
            },
            sort_order: row.get("sortOrder").and_then(Value::as_i64).unwrap_or(0),
        })
    }

    pub fn read_all(rows: &[Value]) -> Result<Vec<Self>, String> {
        rows.iter().enumerate().map(|(index, row)| Self::read(index, row)).collect()
    }
}

fn is_web_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    host.is_some_and(|host| !host.is_empty()) && !url.contains(char::is_whitespace)
}

/// `{"amenityId": n}` rows; one unknown id refuses the whole request.
pub fn read_amenities(rows: &[Value]) -> Result<Vec<u64>, String> {
    let read = |(index, row): (usize, &Value)| {
        let id = field(row, "amenityId").ok_or_else(|| format!("listingAmenities[{index}]: amenityId is required"))?;
        let known = tables().amenities.contains(&id);
        known.then_some(id).ok_or_else(|| format!("listingAmenities[{index}]: amenityId {id} is not a known amenity"))
    };
    rows.iter().enumerate().map(read).collect()
}

/// `{"bedTypeId": n, "quantity": n}` rows; quantity defaults to 1.
pub fn read_bed_types(rows: &[Value]) -> Result<Vec<(u64, u64)>, String> {
    let read = |(index, row): (usize, &Value)| {
        let id = field(row, "bedTypeId").ok_or_else(|| format!("listingBedTypes[{index}]: bedTypeId is required"))?;
        if !tables().bed_types.contains(&id) {
            return Err(format!("listingBedTypes[{index}]: bedTypeId {id} is not a known bed type"));
        }
        match row.get("quantity") {
            None | Some(Value::Null) => Ok((id, 1)),
            Some(quantity) => match quantity.as_u64() {
                Some(quantity) if quantity > 0 => Ok((id, quantity)),
                _ => Err(format!("listingBedTypes[{index}]: quantity must be a whole number above 0")),
            },
        }
    };
    rows.iter().enumerate().map(read).collect()
}

/// `{"customFieldId": n, "value": v}` rows.
pub fn read_custom_fields(rows: &[Value]) -> Result<Vec<(u64, Value)>, String> {
    let read = |(index, row): (usize, &Value)| {
        let id = field(row, "customFieldId");
        let id = id.ok_or_else(|| format!("customFieldValues[{index}]: customFieldId is required"))?;
        Ok((id, row.get("value").cloned().unwrap_or_default()))
    };
    rows.iter().enumerate().map(read).collect()
}

/// The array under `key`; absent or null keeps what is stored.
pub fn array<'a>(body: &'a Map<String, Value>, key: &str) -> Result<Option<&'a [Value]>, String> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(rows)) => Ok(Some(rows)),
        Some(_) => Err(format!("{key} must be an array")),
    }
}

fn field(row: &Value, name: &str) -> Option<u64> {
    row.get(name).and_then(Value::as_u64)
}
