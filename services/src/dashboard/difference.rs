//! What differs between two states of a listing, field by field, as a table.

use domain::counted::counted;
use domain::difference::{Differences, FieldDifference};
use maud::{Markup, html};
use serde_json::Value;

use super::pieces::{empty, told, told_alone, words};
use crate::views::explain::ExplainedSync;
use crate::views::known::ComparedWith;
use crate::views::preview::Preview;

const UNCERTAIN: &str = "A call before it ended in a way that tells nobody what it wrote.";

/// What is to be known of what a comparison is made with: what was refused of it, and whether more is not known.
fn doubts(refusals: &[String], with: &ComparedWith) -> Markup {
    html! {
        @for line in with.untaken() { p.quiet { (told(&line)) } }
        @for line in refusals { p.quiet { (told(line)) } }
        @if with.unknown { p.quiet { (UNCERTAIN) } }
        @if let Some(line) = with.unlinked { p.quiet { (line) } }
    }
}

/// What a sync sends.
pub(super) fn of_sync(sync: &ExplainedSync) -> Markup {
    html! {
        @match (&sync.differences, &sync.differences_missing) {
            (Some(differences), _) => (table(differences, "that differ", Some(&format!("/syncs/{}?fields=all", sync.sync_id)))),
            (None, Some(reason)) => (empty("The differences cannot be told", reason)),
            (None, None) => {}
        }
        @if let Some(with) = &sync.compared_with { (doubts(&sync.refusals(), with)) }
    }
}

/// What a sync would send.
pub(super) fn of_preview(preview: &Preview) -> Markup {
    html! {
        ul.plain { @for line in preview.words.iter().filter(|line| !line.starts_with(' ')) { li { (told_alone(line)) } } }
        (doubts(&preview.compared_with.refusals(None), &preview.compared_with))
        @if !preview.differences.is_empty() { (table(&preview.differences, "that would change", None)) }
        @if !preview.left_out.is_empty() {
            h3 { "Left out" }
            ul { @for part in &preview.left_out { li { code { (part.part) } " " (part.reason) } } }
        }
    }
}

/// `which` sets the tables of one page apart for those who hear it; `all` is where those fields are, too, that are not listed here.
fn table(differences: &Differences, which: &str, all: Option<&str>) -> Markup {
    if differences.sections.is_empty() {
        return empty("Nothing differs", "This is what was sent last.");
    }
    html! { @for section in &differences.sections {
        details open {
            summary { (words(section.section.as_str())) ", " (counted(section.count, "field")) }
            div.scroll tabindex="0" role="region" aria-label=(format!("Fields of {} {which}", section.section)) { table.difference {
                thead { tr { th { "Field" } th { "Was" } th { "Becomes" } } }
                tbody { @for field in &section.fields { (row(field)) } }
            } }
            @let more = section.count.saturating_sub(section.fields.len());
            @if more > 0 { p.quiet {
                "and " (more) " more"
                @if let Some(all) = all { ": " a href=(all) aria-label=(format!("show all fields of {} {which}", section.section)) { "show all" } }
            } }
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

#[cfg(test)]
mod tests {
    use domain::channel::Section;
    use domain::difference::MOST_FIELDS;

    use super::*;

    #[test]
    fn what_is_not_listed_is_counted_and_can_be_seen() {
        let field = |n: usize| FieldDifference::new(format!("listing.images[{n}]"), None, Some(n.into()));
        let shown = |most: usize, all: Option<&str>| {
            let mut found = Differences::default();
            found.add_up_to(Section::Images, (0..MOST_FIELDS + 3).map(field).collect(), most);
            table(&found, "that differ", all).0
        };
        let first = shown(MOST_FIELDS, Some("/syncs/1?fields=all"));
        assert!(first.contains("and 3 more: <a href=\"/syncs/1?fields=all\""), "{first}");
        assert!(!first.contains("listing.images[52]"), "{first}");
        assert!(shown(MOST_FIELDS, None).contains("and 3 more</p>"));
        let all = shown(usize::MAX, Some("/syncs/1?fields=all"));
        assert!(all.contains("listing.images[52]") && !all.contains("show all"), "{all}");
    }
}
