//! Photos as Hostaway imports them: `{url, caption, sortOrder}` with orders from 1. It fetches each URL itself, so only
//! public https addresses go up, each of them once.

use std::collections::HashSet;

use serde_json::{Map, Value};
use url::Url;

use super::rejections::Rejections;
use crate::channel::Section;
use crate::unit::Unit;

/// The photos, or nothing where none is usable: an empty array would delete those at the channel.
pub(super) fn images(unit: &Unit, rejections: &mut Rejections) -> Option<Value> {
    let mut seen = HashSet::new();
    let mut rows = Vec::with_capacity(unit.photos.len());
    for (index, photo) in unit.photos.iter().enumerate() {
        if let Some(reason) = refusal(&photo.url, &mut seen) {
            rejections.add(Section::Images, format!("unit.photos[{index}].url"), &photo.url, reason);
            continue;
        }
        let mut row = Map::new();
        if let Some(captions) = &photo.captions {
            row.insert("caption".to_owned(), captions.best(&unit.default_locale).into());
        }
        row.insert("sortOrder".to_owned(), (rows.len() + 1).into());
        row.insert("url".to_owned(), photo.url.as_str().into());
        rows.push(Value::Object(row));
    }
    if rows.is_empty() {
        let reason = "no photo is usable; those at the channel stay, because an empty list would delete them";
        rejections.add(Section::Images, "unit.photos".to_owned(), "", reason);
        return None;
    }
    Some(Value::Array(rows))
}

/// Why this photo cannot go up, if so; a URL that can is remembered.
fn refusal<'unit>(url: &'unit str, seen: &mut HashSet<&'unit str>) -> Option<&'static str> {
    let usable = Url::parse(url).is_ok_and(|parsed| parsed.scheme() == "https" && parsed.has_host());
    if !usable {
        return Some("is no https URL; Hostaway imports photos from public https addresses only");
    }
    (!seen.insert(url)).then_some("is a photo that stands earlier in the list; it was sent once")
}
