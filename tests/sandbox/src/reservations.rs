//! Reservations: read-only for API clients, made and changed through the inspection API. A status says whether the
//! nights are held (documented status table).

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// The documented object, as far as the sandbox fills it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    pub id: u64,
    pub hostaway_reservation_id: String,
    pub listing_map_id: u64,
    pub channel_id: u64,
    pub channel_name: String,
    pub reservation_id: String,
    pub channel_reservation_id: String,
    pub status: String,
    pub arrival_date: NaiveDate,
    pub departure_date: NaiveDate,
    pub nights: i64,
    pub guest_name: Option<String>,
    pub guest_email: Option<String>,
    pub number_of_guests: u32,
    pub adults: u32,
    pub total_price: Option<f64>,
    pub currency: Option<String>,
    pub reservation_date: String,
    pub inserted_on: String,
    pub updated_on: String,
    pub latest_activity_on: String,
    /// Empty, not absent: the sandbox has none, and without `includeResources=1` Hostaway shows none.
    pub reservation_fees: [(); 0],
    pub reservation_unit: [(); 0],
    pub custom_field_values: [(); 0],
    /// Order of the last change, finer than the second of `updatedOn`.
    #[serde(skip)]
    pub changed: u64,
}

/// Reservations in the state file, with what the API does not show.
pub mod rows {
    use std::{borrow::Cow, collections::BTreeMap};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Reservation;

    #[derive(Serialize, Deserialize)]
    struct Row<'a> {
        changed: u64,
        reservation: Cow<'a, Reservation>,
    }

    pub fn serialize<S: Serializer>(all: &BTreeMap<u64, Reservation>, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = all.values().map(|one| Row { changed: one.changed, reservation: Cow::Borrowed(one) });
        serializer.collect_seq(rows)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u64, Reservation>, D::Error> {
        let read = |row: Row<'_>| Reservation { changed: row.changed, ..row.reservation.into_owned() };
        let rows = Vec::<Row<'_>>::deserialize(from)?.into_iter().map(read);
        Ok(rows.map(|reservation| (reservation.id, reservation)).collect())
    }
}

/// What the inspection API takes to make one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    pub account_id: u64,
    pub listing_id: u64,
    pub arrival_date: NaiveDate,
    pub departure_date: NaiveDate,
    #[serde(default = "new")]
    pub status: String,
    #[serde(default = "direct")]
    pub channel_id: u64,
    #[serde(default)]
    pub guest_name: Option<String>,
    #[serde(default)]
    pub guest_email: Option<String>,
    #[serde(default = "two")]
    pub guests: u32,
    #[serde(default)]
    pub total_price: Option<f64>,
    #[serde(default)]
    pub currency: Option<String>,
}

fn new() -> String {
    "new".to_owned()
}

fn direct() -> u64 {
    2000
}

fn two() -> u32 {
    2
}

/// How a status holds the nights: not at all, as `pending`, or as `reserved`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    None,
    Pending,
    Reserved,
}

pub fn holding(status: &str) -> Holding {
    match status {
        "new" | "modified" | "ownerStay" | "awaitingPayment" | "awaitingGuestVerification" => Holding::Reserved,
        "pending" => Holding::Pending,
        _ => Holding::None,
    }
}

pub fn channel_name(channel: u64) -> &'static str {
    match channel {
        2000 => "direct",
        2001 => "airbnb",
        2002 => "homeaway",
        2005 => "bookingcom",
        2007 => "expedia",
        2013 => "bookingengine",
        2018 => "airbnbOfficial",
        2019 => "marriott",
        2020 => "partner",
        2022 => "google",
        _ => "other",
    }
}
