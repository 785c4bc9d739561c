//! Photos in the order guests should see them. An unusable URL is no reason to refuse the unit: the channel's mapping
//! rejects that photo only.

use serde::Deserialize;

use super::problem::Problems;
use super::text::{LocalizedText, TextWire};

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with url and, where there are some, captions")]
pub(super) struct PhotoWire {
    url: String,
    captions: Option<TextWire>,
}

/// One photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// Where it can be fetched, as it was received.
    pub url: String,
    /// What it shows, per locale.
    pub captions: Option<LocalizedText>,
}

impl Photo {
    pub(super) fn check_all(wire: Vec<PhotoWire>, problems: &mut Problems) -> Vec<Self> {
        wire.into_iter()
            .enumerate()
            .map(|(index, photo)| {
                let field = || format!("unit.photos[{index}].captions");
                let captions = LocalizedText::check_optional(photo.captions.unwrap_or_default(), field, problems);
                Self { url: photo.url, captions }
            })
            .collect()
    }
}
