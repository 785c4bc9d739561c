//! A listing with a payload in Hostaway's shape, and a channel that can push it to a sandbox.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adapters::destinations::Destinations;
use adapters::hostaway::{Config, Hostaway};
use adapters::secrets::{SecretStore as _, Secrets};
use chrono::{Days, NaiveDate};
use domain::channel::{ChannelKind, ListingPayload, Section, SectionPayload};
use domain::ids::{AccountId, ExternalId, ListingId, OrgId, TargetId, UnitId};
use domain::mapping::hostaway::reference;
use domain::port::{Channel as _, Push, PushReport};
use domain::secret::SecretRef;
use domain::target::{Health, Lifecycle, Target};
use domain::window::RateLimit;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::sandbox::{ACCOUNT, SECRET, Sandbox};
use crate::slots::Slots;

pub struct Bench {
    pub hostaway: Hostaway,
    pub target: Target,
    pub slots: Slots,
    pub secrets: tempfile::TempDir,
}

/// The bench's target, its secret in the embedded store.
pub async fn kept_in_the_store(bench: &mut Bench) -> (Secrets, SecretRef) {
    let (secrets, secret) = (Secrets::new(bench.secrets.path(), None), "store:hostaway".parse().unwrap());
    secrets.create(&secret, SecretString::from(SECRET)).await.unwrap();
    bench.target.credential = secret.clone();
    (secrets, secret)
}

pub fn write_secret(dir: &Path, name: &str, value: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join(name);
    std::fs::write(&path, value).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Calls may go to this machine.
pub fn inside() -> Config {
    Config { destinations: Destinations::Any, ..Config::default() }
}

impl Bench {
    pub fn new(sandbox: &Sandbox) -> Self {
        Self::with(&sandbox.base_url(), &inside())
    }

    /// Gives up on a call after a second.
    pub fn impatient(sandbox: &Sandbox) -> Self {
        Self::with(&sandbox.base_url(), &Config { call_timeout: Duration::from_secs(1), ..inside() })
    }

    pub fn with(base_url: &str, config: &Config) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        write_secret(secrets.path(), "hostaway", &format!("{SECRET}\n"), 0o600);
        let source = Arc::new(Secrets::new(secrets.path(), None));
        let target = Target {
            target_id: TargetId(Uuid::from_u128(7)),
            org_id: OrgId::new("org").unwrap(),
            account_id: AccountId::new("account").unwrap(),
            name: "Hostaway".to_owned(),
            channel: ChannelKind::Hostaway,
            base_url: base_url.to_owned(),
            channel_account: ACCOUNT.to_string(),
            credential: "file:hostaway".parse().unwrap(),
            rate_limit: RateLimit::default(),
            account_rate_limit: None,
            lifecycle: Lifecycle::Active,
            health: Health::Unknown,
            credential_epoch: 0,
        };
        let hostaway = Hostaway::new(config, source).unwrap();
        Self { hostaway, target, slots: Slots::default(), secrets }
    }

    pub async fn push(&self, listing: &Listing, needs: &[Section]) -> PushReport {
        self.push_as(listing, needs, false).await
    }

    /// After an attempt that ended unknown.
    pub async fn verify(&self, listing: &Listing, needs: &[Section]) -> PushReport {
        self.push_as(listing, needs, true).await
    }

    async fn push_as(&self, listing: &Listing, needs: &[Section], verify_first: bool) -> PushReport {
        let push = Push {
            target: &self.target,
            listing_id: listing.id,
            unit_id: &listing.unit,
            external_id: listing.external_id.as_ref(),
            unproved: listing.unproved.as_ref(),
            payload: &listing.payload,
            needs,
            verify_first,
        };
        self.hostaway.push(push, &self.slots).await
    }
}

pub struct Listing {
    pub unit: UnitId,
    pub id: ListingId,
    pub external_id: Option<ExternalId>,
    pub unproved: Option<ExternalId>,
    pub payload: ListingPayload,
}

impl Listing {
    /// A whole unit with photos and two months of nights.
    pub fn new(unit: &str) -> Self {
        let unit = UnitId::new(unit).unwrap();
        let id = ListingId::of(TargetId(Uuid::from_u128(7)), &unit);
        let payload = ListingPayload { sections: BTreeMap::new(), rejected: Vec::new() };
        let mut listing = Self { unit, id, external_id: None, unproved: None, payload };
        listing.set(Section::Content, listing.content());
        listing.set(Section::Images, photos(3));
        listing.set(Section::Availability, json!([nights(0, 30, "isAvailable", 1), nights(31, 60, "isAvailable", 0)]));
        listing.set(Section::Rates, json!([nights(0, 20, "price", 140.5), nights(21, 60, "price", 99.0)]));
        listing
    }

    /// The same, created at the channel.
    pub async fn created(unit: &str, bench: &Bench) -> Self {
        let mut listing = Self::new(unit);
        let report = bench.push(&listing, &Section::ALL).await;
        listing.external_id = Some(report.progress.external_id.expect("it was created"));
        listing
    }

    pub fn content(&self) -> Value {
        json!({
            "internalListingName": reference(&self.unit, &self.id), "name": "Harbour Loft",
            "externalListingName": "Harbour Loft", "description": "Two-room loft", "propertyTypeId": 1,
            "roomType": "entire_home", "bathroomType": "private", "personCapacity": 4, "bedroomsNumber": 1,
            "address": "Kai 4, 20457 Hamburg, DE", "city": "Hamburg", "countryCode": "DE", "price": 140.0,
            "currencyCode": "EUR", "priceForExtraPerson": 15.0, "guestsIncluded": 2, "cleaningFee": 45.0,
            "cancellationPolicy": "moderate", "listingAmenities": [{ "amenityId": 2 }],
            "listingBedTypes": [{ "bedTypeId": 2, "quantity": 1 }],
        })
    }

    pub fn set(&mut self, section: Section, body: Value) {
        self.payload.sections.insert(section, SectionPayload::new(body));
    }

    /// Changes one field of the content.
    pub fn set_content(&mut self, field: &str, value: Value) {
        let mut content = self.payload.sections[&Section::Content].body.clone();
        content[field] = value;
        self.set(Section::Content, content);
    }

    pub fn external(&self) -> &str {
        &self.external_id.as_ref().expect("it is created").0
    }
}

pub fn photos(count: usize) -> Value {
    let photo =
        |n| json!({ "url": format!("https://photos.example/{n}.jpg"), "caption": format!("{n}"), "sortOrder": n });
    (1..=count).map(photo).collect()
}

/// The date of a night, counted from a day that no test depends on.
pub fn night(number: u64) -> String {
    let first = NaiveDate::from_ymd_opt(2030, 3, 1).unwrap();
    first.checked_add_days(Days::new(number)).unwrap().to_string()
}

/// One interval, both nights included.
pub fn nights(first: u64, last: u64, field: &str, value: impl Into<Value>) -> Value {
    let mut interval = json!({ "startDate": night(first), "endDate": night(last) });
    interval[field] = value.into();
    interval
}
