//! What every channel has in common: a listing's payload comes in sections, and each section has its own hash, so that
//! a change of availability does not resend the photos.

mod rejected;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hash::PayloadHash;
use crate::ids::ExternalId;

pub use rejected::RejectedPart;

/// The bodies of sections, as a channel wants them.
pub type Bodies<'a> = BTreeMap<Section, &'a Value>;

/// A kind of channel that this service can push to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Hostaway's public API v1.
    #[default]
    Hostaway,
}

impl ChannelKind {
    /// The name used on the wire, in rows and in the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hostaway => "hostaway",
        }
    }

    /// The kinds that there are.
    pub const ALL: [Self; 1] = [Self::Hostaway];

    /// The most characters of the id of a listing, at whatever channel.
    pub const LONGEST_EXTERNAL_ID: usize = 20;

    /// What the id of a listing looks like at some channel, as a regular expression.
    pub const EXTERNAL_ID_PATTERN: &str = "^[0-9]+$";

    /// The id of a listing as this channel gives them.
    pub fn external_id(self, text: &str) -> Result<ExternalId, InvalidExternalId> {
        let fits = match self {
            Self::Hostaway => {
                (1..=Self::LONGEST_EXTERNAL_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
            }
        };
        if fits { Ok(ExternalId(text.to_owned())) } else { Err(InvalidExternalId(text.chars().take(80).collect())) }
    }
}

/// A text that no channel gives as the id of a listing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of a listing at Hostaway, a number such as 51600")]
pub struct InvalidExternalId(pub String);

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A channel that this service does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a known channel: hostaway is the one there is")]
pub struct UnknownChannel(pub String);

impl FromStr for ChannelKind {
    type Err = UnknownChannel;
    fn from_str(name: &str) -> Result<Self, UnknownChannel> {
        match name {
            "hostaway" => Ok(Self::Hostaway),
            other => Err(UnknownChannel(other.to_owned())),
        }
    }
}

/// A part of a listing that is hashed and pushed on its own. The order is the order of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Which nights can be booked. A stale one is a double booking, so it goes first.
    Availability,
    /// Prices and stay limits per night.
    Rates,
    /// Names, descriptions, capacity, amenities, policies.
    Content,
    /// Photos in order.
    Images,
}

impl Section {
    /// Every section, most urgent first.
    pub const ALL: [Self; 4] = [Self::Availability, Self::Rates, Self::Content, Self::Images];

    /// The name used in JSON and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Rates => "rates",
            Self::Content => "content",
            Self::Images => "images",
        }
    }

    /// How long work of this section may be overtaken by availability, in seconds: urgency without starvation.
    pub fn patience_s(self) -> i64 {
        match self {
            Self::Availability => 0,
            Self::Rates => 60,
            Self::Content => 300,
            Self::Images => 600,
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The hash of each section that a payload has.
pub type SectionHashes = BTreeMap<Section, PayloadHash>;

/// One section as the channel wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct SectionPayload {
    /// SHA-256 of the body's canonical JSON.
    pub hash: PayloadHash,
    /// The body in the channel's own shape.
    pub body: Value,
}

impl SectionPayload {
    /// A section with its hash.
    pub fn new(body: Value) -> Self {
        Self { hash: PayloadHash::of_json(&body), body }
    }
}

/// A unit as one channel wants it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListingPayload {
    /// The sections; one that would be empty is absent, because an empty array deletes rows at some channels.
    pub sections: BTreeMap<Section, SectionPayload>,
    /// Parts that the mapping had to leave out.
    pub rejected: Vec<RejectedPart>,
}

impl ListingPayload {
    /// The hash of each section.
    pub fn hashes(&self) -> SectionHashes {
        self.sections.iter().map(|(section, payload)| (*section, payload.hash)).collect()
    }

    /// The body of each section.
    pub fn bodies(&self) -> Bodies<'_> {
        self.sections.iter().map(|(section, payload)| (*section, &payload.body)).collect()
    }
}
