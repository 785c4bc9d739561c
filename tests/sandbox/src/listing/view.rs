//! How a listing is written out: every field present, null when unset; nested arrays empty (not absent) unless asked
//! for; write-only fields and source URLs only for the inspection API.

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{Listing, fields, rows::Image};

/// How much of the listing is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Nested arrays are empty: a read without `includeResources=1`.
    Flat,
    /// Nested arrays in full.
    Full,
    /// Everything, `sourceUrl`, `isComplete` and write-only fields included.
    Inspection,
}

pub struct View<'a> {
    pub listing: &'a Listing,
    pub depth: Depth,
}

#[derive(Serialize)]
struct InspectedImage<'a> {
    #[serde(flatten)]
    image: &'a Image,
    #[serde(rename = "sourceUrl")]
    source_url: &'a str,
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let listing = self.listing;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &listing.id)?;
        for (name, field) in fields::all() {
            if field.access != fields::Access::WriteOnly || self.depth == Depth::Inspection {
                map.serialize_entry(name, &listing.fields.get(name))?;
            }
        }
        map.serialize_entry("country", &listing.country())?;
        map.serialize_entry("thumbnailUrl", &listing.images.first().map(|image| &image.url))?;
        map.serialize_entry("specialStatus", &listing.archived.then_some("archived"))?;
        map.serialize_entry("insertedOn", &listing.inserted_on)?;
        map.serialize_entry("latestActivityOn", &listing.latest_activity_on)?;
        self.nested(&mut map)?;
        for always_empty in ["listingTags", "listingUnits"] {
            map.serialize_entry(always_empty, &[(); 0])?;
        }
        if self.depth == Depth::Inspection {
            map.serialize_entry("isComplete", &listing.is_complete())?;
        }
        map.end()
    }
}

impl View<'_> {
    fn nested<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if self.depth == Depth::Flat {
            for key in ["listingAmenities", "listingBedTypes", "listingImages", "customFieldValues"] {
                map.serialize_entry(key, &[(); 0])?;
            }
            return Ok(());
        }
        map.serialize_entry("listingAmenities", &self.listing.amenities)?;
        map.serialize_entry("listingBedTypes", &self.listing.bed_types)?;
        map.serialize_entry("customFieldValues", &self.listing.custom_fields)?;
        if self.depth == Depth::Full {
            return map.serialize_entry("listingImages", &self.listing.images);
        }
        let inspected = |image| InspectedImage { image, source_url: &image.source_url };
        let images: Vec<_> = self.listing.images.iter().map(inspected).collect();
        map.serialize_entry("listingImages", &images)
    }
}
