//! Which photos are new, gone, in another place or under another caption. A photo is told by its URL; that all those
//! behind a new one count one further is not said of each of them.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::difference::{Change, FieldDifference};

struct Photo<'a> {
    url: &'a str,
    row: &'a Value,
}

fn photos(images: Option<&Value>) -> Vec<Photo<'_>> {
    let rows = images.and_then(Value::as_array).into_iter().flatten();
    rows.filter_map(|row| Some(Photo { url: row.get("url")?.as_str()?, row })).collect()
}

/// What differs between two lists of photos.
pub(super) fn photo_differences(before: Option<&Value>, after: &Value) -> Vec<FieldDifference> {
    let (before, after) = (photos(before), photos(Some(after)));
    let was: HashMap<&str, usize> = before.iter().enumerate().map(|(place, photo)| (photo.url, place)).collect();
    let is: HashMap<&str, usize> = after.iter().enumerate().map(|(place, photo)| (photo.url, place)).collect();
    let kept: Vec<usize> = after.iter().filter_map(|photo| was.get(photo.url).copied()).collect();
    let stay = longest_rising(&kept);
    let gone = before.iter().enumerate().filter(|(_, photo)| !is.contains_key(photo.url));
    let mut found: Vec<FieldDifference> =
        gone.map(|(place, photo)| FieldDifference::new(path(photo.url), Some(shown(place, photo.row)), None)).collect();
    for (place, photo) in after.iter().enumerate() {
        let after_is = Some(shown(place, photo.row));
        let Some(earlier) = was.get(photo.url).copied() else {
            found.push(FieldDifference::new(path(photo.url), None, after_is));
            continue;
        };
        let old = &before[earlier];
        let moved = earlier != place && !stay.contains(&earlier);
        if moved || old.row.get("caption") != photo.row.get("caption") {
            let change = if moved { Change::Moved } else { Change::Changed };
            let before_was = Some(shown(earlier, old.row));
            found.push(FieldDifference { change, ..FieldDifference::new(path(photo.url), before_was, after_is) });
        }
    }
    found
}

fn path(url: &str) -> String {
    format!("listing.listingImages[{url}]")
}

fn shown(place: usize, row: &Value) -> Value {
    match row.get("caption") {
        Some(caption) => json!({ "place": place + 1, "caption": caption }),
        None => json!({ "place": place + 1 }),
    }
}

/// The most that stay in their order: those that are not among them have moved.
fn longest_rising(places: &[usize]) -> BTreeSet<usize> {
    // The end of the best run of each length, and what stands before each place in its run.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; places.len()];
    for (index, place) in places.iter().enumerate() {
        let length = ends.partition_point(|end| places[*end] < *place);
        before[index] = length.checked_sub(1).map(|shorter| ends[shorter]);
        if length == ends.len() {
            ends.push(index);
        } else {
            ends[length] = index;
        }
    }
    let last = ends.last().copied();
    std::iter::successors(last, |index| before[*index]).map(|index| places[index]).collect()
}
