//! One listing as the sandbox keeps it, and how a patch changes it. Must stay true: values are set only through
//! [`Patch`], so nothing unvalidated is ever stored.

pub mod fields;
pub mod patch;
pub mod rows;
pub mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use self::{
    patch::{Patch, Wipes},
    rows::{Amenity, BedType, CustomField, Image, NewImage},
};
use crate::{
    calendar::{Calendar, Defaults},
    clock::hostaway_now,
    lookups::tables,
    store::Ids,
};

/// Its serialised form is that of the state file; the API's is [`view::View`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    pub id: u64,
    pub account: u64,
    #[serde(deserialize_with = "fields::named")]
    pub fields: BTreeMap<&'static str, Value>,
    pub amenities: Vec<Amenity>,
    pub bed_types: Vec<BedType>,
    /// In the order of their `sortOrder`; the first is the thumbnail.
    #[serde(with = "rows::sourced")]
    pub images: Vec<Image>,
    pub custom_fields: Vec<CustomField>,
    pub archived: bool,
    pub inserted_on: String,
    pub latest_activity_on: String,
    pub calendar: Calendar,
}

impl Listing {
    pub fn new(id: u64, account: u64) -> Self {
        let now = hostaway_now();
        Self {
            id,
            account,
            fields: BTreeMap::new(),
            amenities: Vec::new(),
            bed_types: Vec::new(),
            images: Vec::new(),
            custom_fields: Vec::new(),
            archived: false,
            inserted_on: now.clone(),
            latest_activity_on: now,
            calendar: Calendar::default(),
        }
    }

    /// The rows that a body's `[]` deletes, before anything else of it is looked at.
    pub fn wipe(&mut self, wipes: Wipes) {
        if wipes.amenities {
            self.amenities.clear();
        }
        if wipes.bed_types {
            self.bed_types.clear();
        }
        if wipes.images {
            self.images.clear();
        }
    }

    pub fn apply(&mut self, patch: Patch, ids: &Ids) {
        for (name, value) in patch.fields {
            // Documented exception: an empty agreement text deletes the agreement.
            if name == "listingAgreementText" && value == "" {
                self.fields.remove(name);
            } else {
                self.fields.insert(name, value);
            }
        }
        if let Some(amenities) = patch.amenities {
            self.amenities = amenities.into_iter().map(|amenity_id| Amenity { id: ids.row(), amenity_id }).collect();
        }
        if let Some(beds) = patch.bed_types {
            let row = |(bed_type_id, quantity)| BedType { id: ids.row(), bed_type_id, quantity };
            self.bed_types = beds.into_iter().map(row).collect();
        }
        if let Some(images) = patch.images {
            let before = std::mem::take(&mut self.images);
            self.add_images(images, &before, ids);
        }
        if let Some(values) = patch.custom_fields {
            let row = |(custom_field_id, value)| CustomField { id: ids.row(), custom_field_id, value };
            self.custom_fields = values.into_iter().map(row).collect();
        }
        self.latest_activity_on = hostaway_now();
    }

    /// Adds images; one that names the stored URL of a row in `before` keeps that row's id and source (this is how a
    /// set is reordered or captioned), any other is imported and gets a Hostaway URL.
    pub fn add_images(&mut self, images: Vec<NewImage>, before: &[Image], ids: &Ids) {
        for NewImage { url, texts, sort_order } in images {
            let image = match before.iter().find(|row| row.url == url) {
                Some(row) => Image { texts, sort_order, ..row.clone() },
                None => {
                    let stored = self.stored_url();
                    Image { id: ids.row(), url: stored, source_url: url, texts, sort_order }
                }
            };
            self.images.push(image);
        }
        self.images.sort_by_key(|image| image.sort_order);
    }

    fn stored_url(&self) -> String {
        let file = Uuid::new_v4().simple();
        format!("https://hostaway-platform.s3.us-west-2.amazonaws.com/listing/{}-{}-{file}", self.account, self.id)
    }

    pub fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Derived from `countryCode`, never written.
    pub fn country(&self) -> Option<&'static str> {
        tables().countries.get(self.text("countryCode")).map(String::as_str)
    }

    pub fn is_complete(&self) -> bool {
        fields::COMPLETE.iter().all(|name| self.fields.contains_key(name))
    }

    /// What a night shows that nobody wrote.
    pub fn defaults(&self) -> Defaults {
        let nights = |name: &str| self.fields.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        Defaults {
            listing: self.id,
            price: self.fields.get("price").and_then(Value::as_f64).unwrap_or(0.0),
            minimum_stay: nights("minNights").unwrap_or(1).max(1),
            maximum_stay: nights("maxNights").unwrap_or(1125).max(1),
        }
    }
}
