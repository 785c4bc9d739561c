//! The dashboard's own files, embedded in the binary and served under names with their hash, so that browsers keep them.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use crate::api::problem::Problem;

struct Asset {
    name: &'static str,
    media: &'static str,
    body: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $media:literal) => {
        Asset { name: $name, media: $media, body: include_bytes!(concat!("../../assets/", $name)) }
    };
}

const ASSETS: [Asset; 7] = [
    asset!("dashboard.css", "text/css; charset=utf-8"),
    asset!("dashboard.js", "text/javascript; charset=utf-8"),
    asset!("htmx.min.js", "text/javascript; charset=utf-8"),
    asset!("idiomorph.min.js", "text/javascript; charset=utf-8"),
    asset!("mark.svg", "image/svg+xml"),
    asset!("uPlot.iife.min.js", "text/javascript; charset=utf-8"),
    asset!("uPlot.min.css", "text/css; charset=utf-8"),
];

/// The names that are served, in the order of [`ASSETS`].
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let hashed = |asset: &Asset| {
        let hash = format!("{:x}", Sha256::digest(asset.body));
        let (stem, ending) = asset.name.rsplit_once('.').unwrap_or((asset.name, ""));
        format!("{stem}-{}.{ending}", &hash[..12])
    };
    ASSETS.iter().map(hashed).collect()
});

/// The path of a file of `services/assets/`.
pub(super) fn path(name: &str) -> String {
    let found = ASSETS.iter().zip(NAMES.iter()).find(|(asset, _)| asset.name == name);
    format!("/assets/{}", found.map_or(name, |(_, hashed)| hashed))
}

/// A file by its served name. What it holds never changes.
pub(super) async fn serve(Path(name): Path<String>) -> Result<Response, Problem> {
    let found = ASSETS.iter().zip(NAMES.iter()).find(|(_, hashed)| **hashed == name);
    let (asset, _) = found.ok_or_else(|| Problem::not_found("file"))?;
    let mut response = asset.body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(response)
}
