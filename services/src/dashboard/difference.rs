//! What differs between two states of a listing, field by field, as a table.

use domain::counted::counted;
use domain::difference::excerpt::{Excerpt, excerpts};
use domain::difference::staying::Staying;
use domain::difference::{Change, Differences, FieldDifference, LONGEST_VALUE};
use domain::text::cut;
use maud::{Markup, html};
use serde_json::Value;

use super::pieces::{empty, told, told_alone, told_with_button, words};
use crate::views::explain::ExplainedSync;
use crate::views::known::ComparedWith;
use crate::views::not_taken::named;
use crate::views::preview::Preview;
use crate::views::staying;

/// What is to be known of what a comparison is made with: what was refused of it, and that nobody knows what a call wrote, as `doubt` says.
fn doubts(refusals: &[String], with: &ComparedWith, doubt: Option<&Markup>) -> Markup {
    html! {
        @for line in with.untaken() { p.quiet { (told(&line)) } }
        @for line in refusals { p.quiet { (told(line)) } }
        @if let Some(doubt) = doubt { p.quiet { (doubt) } }
        @if let Some(line) = with.unlinked { p.quiet { (line) } }
    }
}

/// What a sync sends.
pub(super) fn of_sync(sync: &ExplainedSync) -> Markup {
    html! {
        @match (&sync.differences, &sync.differences_missing) {
            (Some(differences), _) => {
                @if differences.is_empty() { (nothing(sync.compared_with.as_ref())) }
                @else { (table(differences, "that differ", Some(&format!("/syncs/{}?fields=all", sync.sync_id)))) }
                (kept(&sync.stays, differences, sync.sent_for_hash()))
            }
            (None, Some(reason)) => (empty("The differences cannot be told", reason)),
            (None, None) => {}
        }
        @if let Some(with) = &sync.compared_with {
            @let doubt = sync.doubt().map(|line| html! { (line) });
            (doubts(&sync.refusals(), with, doubt.as_ref()))
        }
    }
}

/// What a sync would send, to somebody who may ask for it or may not.
pub(super) fn of_preview(preview: &Preview, may_sync: bool) -> Markup {
    let with = &preview.compared_with;
    let doubt = preview.doubt().map(|line| told_with_button(&line, may_sync));
    html! {
        ul.plain { @for line in preview.words.iter().filter(|line| !line.starts_with(' ')) { li { (told_alone(line, may_sync)) } } }
        (doubts(&with.refusals(None), with, doubt.as_ref()))
        @if !preview.differences.is_empty() { (table(&preview.differences, "that would change", None)) }
        (kept(&preview.stays, &preview.differences, preview.sent_for_hash()))
        @if !preview.left_out.is_empty() {
            h3 { "Left out" }
            ul { @for part in &preview.left_out { li { code { (named(part)) } " " (part.reason) } } }
        }
    }
}

/// What the channel keeps as it is, as nothing is told of it any more.
fn kept(stays: &[Staying], differences: &Differences, for_hash: &[&str]) -> Markup {
    html! { @for line in staying::words(stays, differences, for_hash) { p.quiet { (told(&line)) } } }
}

/// Where nothing differs, from what.
fn nothing(with: Option<&ComparedWith>) -> Markup {
    let told = with.map_or_else(String::new, |with| format!("All that this tells is {}.", with.last()));
    empty("Nothing differs", &told)
}

/// `which` sets the tables of one page apart for those who hear it; `all` is where those fields are, too, that are not listed here.
fn table(differences: &Differences, which: &str, all: Option<&str>) -> Markup {
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

/// Which side of a field.
#[derive(Debug, Clone, Copy)]
enum Side {
    Was,
    Becomes,
}

fn row(field: &FieldDifference) -> Markup {
    let [was, becomes] = sides(field);
    html! { tr {
        td { (field.path) @if let Some(name) = &field.name { " " span.quiet { (name) } } }
        td { (was) }
        td { (becomes) @if let Some(reason) = &field.reason { " " span.quiet { (reason) } } }
    } }
}

/// Both values: of two texts what differs is marked, of anything else all of it.
fn sides(field: &FieldDifference) -> [Markup; 2] {
    let (before, after) = (field.before.as_ref(), field.after.as_ref());
    let are_texts = [before, after].iter().all(|value| value.is_some_and(Value::is_string));
    let (before, after) = (before.map(text), after.map(text));
    let cell = |side: Side, value: Option<&String>, other: Option<&String>| {
        let Some(value) = value else { return html! { span.quiet { "–" } } };
        let shown = |longest: usize| {
            let excerpt = other.map(|other| excerpts(value, other, longest)).map(|[excerpt, _]| excerpt);
            let all_marked = |own: String| Excerpt { head: String::new(), own, tail: String::new() };
            match excerpt {
                Some(excerpt) if are_texts => excerpt,
                Some(excerpt) => all_marked(excerpt.to_string()),
                None => all_marked(cut(value, longest)),
            }
        };
        let short = shown(LONGEST_VALUE);
        let is_whole = short.to_string() == *value;
        html! {
            (marked(side, &short))
            @if !is_whole { details {
                summary aria-label=(format!("More of {}, {}", field.path, side.words())) { "More" }
                p.value { (marked(side, &shown(usize::MAX))) }
            } }
        }
    };
    let was = if field.change == Change::Told {
        html! { span.quiet { "not told of" } }
    } else {
        cell(Side::Was, before.as_ref(), after.as_ref())
    };
    [was, cell(Side::Becomes, after.as_ref(), before.as_ref())]
}

impl Side {
    fn words(self) -> &'static str {
        match self {
            Self::Was => "was",
            Self::Becomes => "becomes",
        }
    }
}

fn marked(side: Side, value: &Excerpt) -> Markup {
    html! {
        (value.head)
        @if !value.own.is_empty() { @match side {
            Side::Was => del { (value.own) },
            Side::Becomes => ins { (value.own) },
        } }
        (value.tail)
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use domain::channel::Section;
    use domain::difference::MOST_FIELDS;
    use serde_json::json;

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

    #[test]
    fn of_texts_what_differs_is_marked_and_of_other_values_all_of_it() {
        let cells = |before: Value, after: Value| {
            let field = FieldDifference::new("listing.field".to_owned(), Some(before), Some(after));
            sides(&field).map(|side| side.0)
        };
        let texts = cells("No parties, please".into(), "No <pets>, please".into());
        assert_eq!(texts, ["No <del>parties</del>, please", "No <ins>&lt;pets&gt;</ins>, please"]);
        assert_eq!(cells("At the beach.".into(), "At the beach. A step.".into())[0], "At the beach.");
        assert_eq!(cells(json!(40.0), json!(45.0)), ["<del>40.0</del>", "<ins>45.0</ins>"]);
        assert_eq!(cells(json!("50"), json!(45)), ["<del>50</del>", "<ins>45</ins>"]);

        let long = "word ".repeat(100);
        let [was, becomes] = cells(format!("{long}end").into(), format!("{long}new end").into());
        for (side, name) in [(&was, "was"), (&becomes, "becomes")] {
            let (short, whole) = side.split_once("<details>").expect("all of it can be seen");
            assert!(short.starts_with('…') && short.ends_with("end") && whole.contains(&long), "{side}");
            assert!(whole.contains(&format!("More of listing.field, {name}")), "{side}");
        }
        assert!(becomes.starts_with('…') && becomes.contains("word <ins>new </ins>end"), "{becomes}");
        let new = FieldDifference::new("listing.field".to_owned(), None, Some(long.clone().into()));
        let [was, becomes] = sides(&new).map(|side| side.0);
        assert!(was.contains('–') && becomes.starts_with("<ins>word word") && becomes.contains(&long), "{becomes}");
        let [was, _] = sides(&new.told_of_now()).map(|side| side.0);
        assert!(was.contains("not told of") && !was.contains('–'), "the channel may have something of it: {was}");
    }
}
