//! The small pieces that pages are put together from: times, states, ids, empty lists, pages of lists.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Serialize;
use uuid::Uuid;

/// A moment, to the second. The script shows it in the viewer's zone, with UTC on hover.
pub(super) fn moment(at: DateTime<Utc>) -> Markup {
    let text = at.format("%d %b %H:%M:%S").to_string();
    html! { time datetime=(machine(at)) title=(utc(at)) { (text) } }
}

/// A moment that may not have come.
pub(super) fn moment_or(at: Option<DateTime<Utc>>, otherwise: &str) -> Markup {
    at.map_or_else(|| html! { span.quiet { (otherwise) } }, moment)
}

/// How long ago something was, kept true by the script.
pub(super) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { time.ago datetime=(machine(at)) title=(utc(at)) { (span((now - at).num_milliseconds())) " ago" } }
}

fn machine(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// A span of time in its largest unit.
pub(super) fn span(ms: i64) -> String {
    match ms.max(0) {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..120_000 => format!("{} s", ms / 1_000),
        ms @ 120_000..7_200_000 => format!("{} min", ms / 60_000),
        ms @ 7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        ms => format!("{} d", ms / 86_400_000),
    }
}

/// A number with thin spaces between thousands.
pub(super) fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    if n < 0 { format!("−{grouped}") } else { grouped }
}

/// A state as people read it, with a mark whose shape says the same as its colour.
pub(super) fn state(name: &str) -> Markup {
    html! { span.state.(tone(name)) { (words(name)) } }
}

/// A name of the code as words.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn tone(name: &str) -> &'static str {
    match name {
        "healthy" | "accepted" | "active" | "linked" => "good",
        "pending" | "under way" | "due" | "later" => "busy",
        "degraded"
        | "paused"
        | "throttled"
        | "accepted_with_rejections"
        | "transient"
        | "unknown_end"
        | "target paused"
        | "listing paused"
        | "stale" => "warn",
        "unreachable" | "unauthorised" | "rejected" | "exhausted" | "target unauthorised" | "failed" => "bad",
        _ => "idle",
    }
}

/// An id by its end, whole on hover: ids of one minute begin alike.
pub(super) fn short(id: Uuid) -> Markup {
    let text = id.to_string();
    html! { code title=(text) { (text[24..]) } }
}

/// A link to a sync.
pub(super) fn sync_link(id: Uuid) -> Markup {
    html! { a href=(format!("/syncs/{id}")) aria-label=(format!("sync {id}")) { (short(id)) } }
}

/// What stands where a list has nothing.
pub(super) fn empty(title: &str, hint: &str) -> Markup {
    html! { div.empty { p { strong { (title) } } p { (hint) } } }
}

/// The way to the next page of a list: the same address with another cursor.
pub(super) fn next_page(path: &str, query: &[(&str, Option<&str>)], cursor: Option<&str>) -> Markup {
    let Some(cursor) = cursor else { return html! {} };
    let given =
        query.iter().filter_map(|(name, value)| value.filter(|value| !value.is_empty()).map(|value| (*name, value)));
    let pairs = given.chain([("cursor", cursor)]);
    let address = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    html! { p.pager { a.button href=(format!("{path}?{address}")) rel="next" { "Next page" } } }
}

/// Options of a select, with the chosen one.
pub(super) fn options(choices: &[&str], chosen: Option<&str>, any: &str) -> Markup {
    html! {
        option value="" { (any) }
        @for choice in choices {
            option value=(choice) selected[chosen == Some(*choice)] { (words(choice)) }
        }
    }
}

/// A value as pretty JSON, for those who want to see all of it.
pub(super) fn json<T: Serialize>(value: &T) -> Markup {
    html! { pre tabindex="0" { code { (serde_json::to_string_pretty(value).unwrap_or_default()) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_short() {
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(number(-12), "−12");
        assert_eq!(span(999), "999 ms");
        assert_eq!(span(119_000), "119 s");
        assert_eq!(span(7_200_000), "2 h");
    }
}
