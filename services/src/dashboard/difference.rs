//! What differs between two states of a listing, field by field, as a table.

use domain::counted::counted;
use domain::difference::{Differences, FieldDifference, MOST_FIELDS};
use maud::{Markup, html};
use serde_json::Value;

use super::pieces::{empty, told, words};
use crate::views::explain::ExplainedSync;
use crate::views::preview::Preview;

const UNCERTAIN: &str = "A call before it ended in a way that tells nobody what it wrote.";

/// What a sync sends.
pub(super) fn of_sync(sync: &ExplainedSync) -> Markup {
    let certain = sync.compared_with.as_ref().is_none_or(|with| with.certain);
    html! {
        @match (&sync.differences, &sync.differences_missing) {
            (Some(differences), _) => (table(differences, "that differ")),
            (None, Some(reason)) => (empty("The differences cannot be told", reason)),
            (None, None) => {}
        }
        @if !certain { p.quiet { (UNCERTAIN) } }
    }
}

/// What a sync would send.
pub(super) fn of_preview(preview: &Preview) -> Markup {
    html! {
        ul.plain { @for line in preview.words.iter().filter(|line| !line.starts_with(' ')) { li { (told(line)) } } }
        @if !preview.compared_with.certain { p.quiet { (UNCERTAIN) } }
        @if !preview.differences.is_empty() { (table(&preview.differences, "that would change")) }
        @if !preview.left_out.is_empty() {
            h3 { "Left out" }
            ul { @for part in &preview.left_out { li { code { (part.part) } " " (part.reason) } } }
        }
    }
}

/// `which` sets the tables of one page apart for those who hear it.
fn table(differences: &Differences, which: &str) -> Markup {
    if differences.sections.is_empty() {
        return empty("Nothing differs", "The channel has all of this already.");
    }
    html! { @for section in &differences.sections {
        details open {
            summary { (words(section.section.as_str())) ", " (counted(section.count, "field")) }
            div.scroll tabindex="0" role="region" aria-label=(format!("Fields of {} {which}", section.section)) { table.difference {
                thead { tr { th { "Field" } th { "Before" } th { "After" } } }
                tbody { @for field in &section.fields { (row(field)) } }
            } }
            @if section.count > MOST_FIELDS { p.quiet { "and " (section.count - MOST_FIELDS) " more" } }
        }
    } }
}

fn row(field: &FieldDifference) -> Markup {
    html! { tr {
        td { (field.path) @if let Some(name) = &field.name { " " span.quiet { (name) } } }
        td { @if let Some(before) = &field.before { del { (value(before)) } } @else { span.quiet { "–" } } }
        td { @if let Some(after) = &field.after { ins { (value(after)) } } @else { span.quiet { "–" } }
            @if let Some(reason) = &field.reason { " " span.quiet { (reason) } } }
    } }
}

fn value(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
