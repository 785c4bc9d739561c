//! What the sandbox keeps per account: listings with an index of the words of their `internalListingName`, and
//! reservations. One lock per account, held for one request's work.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    calendar::{Hold, stay_nights},
    clock::hostaway_now,
    listing::Listing,
    reservations::{Holding, Reservation, Seed, channel_name, holding},
};

/// Ids are unique over all accounts, as at Hostaway.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    listing: AtomicU64,
    row: AtomicU64,
    reservation: AtomicU64,
    change: AtomicU64,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            listing: AtomicU64::new(40_001),
            row: AtomicU64::new(1_000_001),
            reservation: AtomicU64::new(500_001),
            change: AtomicU64::new(1),
        }
    }
}

impl Ids {
    pub fn listing(&self) -> u64 {
        self.listing.fetch_add(1, Ordering::Relaxed)
    }

    pub fn row(&self) -> u64 {
        self.row.fetch_add(1, Ordering::Relaxed)
    }

    fn reservation(&self) -> u64 {
        self.reservation.fetch_add(1, Ordering::Relaxed)
    }

    fn change(&self) -> u64 {
        self.change.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub id: u64,
    books: Mutex<Books>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Books {
    pub secret: String,
    pub listings: BTreeMap<u64, Listing>,
    #[serde(skip)]
    words: HashMap<String, BTreeSet<u64>>,
    /// The three names in lower case, one per line: what a `match` that is no whole word looks through.
    #[serde(skip)]
    names: BTreeMap<u64, String>,
    #[serde(with = "crate::reservations::rows")]
    pub reservations: BTreeMap<u64, Reservation>,
}

impl Account {
    pub fn new(id: u64, secret: String) -> Self {
        Self { id, books: Mutex::new(Books { secret, ..Books::default() }) }
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no holder of an account's books panics")
    }

    /// Makes the index, which the state file does not have.
    pub fn index_anew(&mut self) {
        let books = self.books.get_mut().expect("no holder of an account's books panics");
        for listing in std::mem::take(&mut books.listings).into_values() {
            books.put(listing);
        }
    }
}

fn names(listing: &Listing) -> String {
    ["internalListingName", "name", "externalListingName"].map(|field| listing.text(field).to_lowercase()).join("\n")
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_lowercase)
}

impl Books {
    /// Adds or replaces a listing.
    pub fn put(&mut self, listing: Listing) {
        self.remove(listing.id);
        self.index(&listing);
        self.listings.insert(listing.id, listing);
    }

    pub fn remove(&mut self, id: u64) -> Option<Listing> {
        let listing = self.listings.remove(&id)?;
        self.unindex(id, listing.text("internalListingName"));
        Some(listing)
    }

    /// Changes a listing in place and keeps the index true.
    pub fn change<T>(&mut self, id: u64, change: impl FnOnce(&mut Listing) -> T) -> Option<T> {
        let mut listing = self.listings.remove(&id)?;
        let before = listing.text("internalListingName").to_owned();
        let out = change(&mut listing);
        self.unindex(id, &before);
        self.index(&listing);
        self.listings.insert(id, listing);
        Some(out)
    }

    /// Listings with `wanted` in one of their names, by id. When `wanted` is a whole word of some internal name the
    /// index answers (and a listing that only holds it inside a longer word is not looked for); else all are scanned.
    pub fn matching(&self, wanted: &str) -> Vec<&Listing> {
        let wanted = wanted.trim().to_lowercase();
        if let Some(ids) = self.words.get(&wanted) {
            return ids.iter().filter_map(|id| self.listings.get(id)).collect();
        }
        let found = self.names.iter().filter(|(_, names)| names.contains(&wanted));
        found.filter_map(|(id, _)| self.listings.get(id)).collect()
    }

    /// How many listings share their `internalListingName` with another one.
    pub fn duplicate_references(&self) -> usize {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for listing in self.listings.values() {
            let name = listing.text("internalListingName");
            if !name.is_empty() {
                *seen.entry(name).or_default() += 1;
            }
        }
        seen.into_values().filter(|count| *count > 1).sum()
    }

    /// Makes a reservation; refused when a night is already held.
    pub fn reserve(&mut self, seed: Seed, ids: &Ids) -> Result<&Reservation, String> {
        if seed.departure_date <= seed.arrival_date {
            return Err(format!("departure_date {} must be after arrival_date", seed.departure_date));
        }
        let calendar = match self.listings.get(&seed.listing_id) {
            Some(listing) => &listing.calendar,
            None => return Err(format!("listing_id {} is unknown", seed.listing_id)),
        };
        let taken = |date: &_| calendar.holds.contains_key(date);
        if holding(&seed.status) != Holding::None
            && let Some(date) = stay_nights(seed.arrival_date, seed.departure_date).find(taken)
        {
            return Err(format!("the night of {date} is already held by a reservation"));
        }
        let reservation = build(seed, ids);
        let id = reservation.id;
        self.hold(&reservation);
        Ok(self.reservations.entry(id).or_insert(reservation))
    }

    /// Moves a reservation to another status; its nights are held or freed accordingly.
    pub fn set_status(&mut self, id: u64, status: String, ids: &Ids) -> Option<&Reservation> {
        let reservation = self.reservations.get_mut(&id)?;
        reservation.status = status;
        reservation.updated_on = hostaway_now();
        reservation.latest_activity_on.clone_from(&reservation.updated_on);
        reservation.changed = ids.change();
        let reservation = reservation.clone();
        self.hold(&reservation);
        self.reservations.get(&id)
    }

    fn hold(&mut self, reservation: &Reservation) {
        let Some(listing) = self.listings.get_mut(&reservation.listing_map_id) else { return };
        let holds = &mut listing.calendar.holds;
        holds.retain(|_, hold| hold.reservation != reservation.id);
        let holding = holding(&reservation.status);
        if holding == Holding::None {
            return;
        }
        let hold = Hold { reservation: reservation.id, pending: holding == Holding::Pending };
        holds.extend(stay_nights(reservation.arrival_date, reservation.departure_date).map(|date| (date, hold)));
    }

    fn index(&mut self, listing: &Listing) {
        for word in words(listing.text("internalListingName")) {
            self.words.entry(word).or_default().insert(listing.id);
        }
        self.names.insert(listing.id, names(listing));
    }

    fn unindex(&mut self, id: u64, internal_name: &str) {
        self.names.remove(&id);
        for word in words(internal_name) {
            if let Some(ids) = self.words.get_mut(&word) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.words.remove(&word);
                }
            }
        }
    }
}

fn build(seed: Seed, ids: &Ids) -> Reservation {
    let id = ids.reservation();
    let now = hostaway_now();
    let channel_id_text = format!("sandbox-{id}");
    Reservation {
        id,
        hostaway_reservation_id: id.to_string(),
        listing_map_id: seed.listing_id,
        channel_id: seed.channel_id,
        channel_name: channel_name(seed.channel_id).to_owned(),
        reservation_id: channel_id_text.clone(),
        channel_reservation_id: channel_id_text,
        status: seed.status,
        arrival_date: seed.arrival_date,
        departure_date: seed.departure_date,
        nights: (seed.departure_date - seed.arrival_date).num_days(),
        guest_name: seed.guest_name,
        guest_email: seed.guest_email,
        number_of_guests: seed.guests,
        adults: seed.guests,
        total_price: seed.total_price,
        currency: seed.currency,
        reservation_date: now.clone(),
        inserted_on: now.clone(),
        updated_on: now.clone(),
        latest_activity_on: now,
        reservation_fees: [],
        reservation_unit: [],
        custom_field_values: [],
        changed: ids.change(),
    }
}
