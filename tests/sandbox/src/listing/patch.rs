//! What a create or PUT body asks for, validated as a whole. Documented: omitted and `null` keep the stored value,
//! read-only and unknown fields are dropped silently, one bad value refuses the whole request.

use serde_json::{Map, Value};

use super::{
    fields::{self, Access},
    rows::{self, NewImage},
};

#[derive(Debug, Default)]
pub struct Patch {
    pub fields: Vec<(&'static str, Value)>,
    pub amenities: Option<Vec<u64>>,
    pub bed_types: Option<Vec<(u64, u64)>>,
    pub images: Option<Vec<NewImage>>,
    pub custom_fields: Option<Vec<(u64, Value)>>,
}

impl Patch {
    /// The patch, or the first bad field with its reason.
    pub fn read(body: &Map<String, Value>) -> Result<Self, String> {
        let mut patch = Self::default();
        for (name, value) in body {
            let Some((name, field)) = fields::all().get_key_value(name.as_str()) else { continue };
            if value.is_null() || field.access == Access::ReadOnly {
                continue;
            }
            let value = field.kind.read(value).map_err(|reason| format!("{name}: {reason}"))?;
            patch.fields.push((*name, value));
        }
        patch.amenities = rows::array(body, "listingAmenities")?.map(rows::read_amenities).transpose()?;
        patch.bed_types = rows::array(body, "listingBedTypes")?.map(rows::read_bed_types).transpose()?;
        patch.images = rows::array(body, "listingImages")?.map(NewImage::read_all).transpose()?;
        patch.custom_fields = rows::array(body, "customFieldValues")?.map(rows::read_custom_fields).transpose()?;
        Ok(patch)
    }

    /// A create needs the two names that the documentation marks as always required.
    pub fn check_create(&self) -> Result<(), String> {
        for required in ["name", "externalListingName"] {
            let given = self.fields.iter().any(|(name, value)| *name == required && value.as_str() != Some(""));
            if !given {
                return Err(format!("{required}: this field is required"));
            }
        }
        Ok(())
    }
}

/// The nested sets a body empties. Documented: `[]` deletes the rows before the rest is validated, so they are gone
/// even when the request is then refused.
#[derive(Debug, Clone, Copy)]
pub struct Wipes {
    pub amenities: bool,
    pub bed_types: bool,
    pub images: bool,
}

impl Wipes {
    pub fn of(body: &Map<String, Value>) -> Self {
        let emptied = |key: &str| body.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty);
        Self {
            amenities: emptied("listingAmenities"),
            bed_types: emptied("listingBedTypes"),
            images: emptied("listingImages"),
        }
    }
}
