//! The small pieces that pages are put together from: times, states, ids, empty lists, pages of lists.

use chrono::{DateTime, Utc};
use domain::outcome::SyncOutcome;
use maud::{Markup, html};
use serde_json::Value;
use uuid::Uuid;

use crate::views::not_its_own;
use crate::views::queue::{AFTER_ATTEMPT, DUE, LATER, LOGIN, PAUSED, UNDER_WAY};

/// A moment, to the second. The script shows it in the viewer's zone, with UTC on hover.
pub(super) fn moment(at: DateTime<Utc>) -> Markup {
    let text = at.format("%d %b %H:%M:%S").to_string();
    html! { time datetime=(machine(at)) title=(utc(at)) { (text) } }
}

/// The time of a moment of today.
pub(super) fn clock(at: DateTime<Utc>) -> Markup {
    html! { time.clock datetime=(machine(at)) title=(utc(at)) { (at.format("%H:%M:%S").to_string()) } }
}

/// A moment that may not have come.
pub(super) fn moment_or(at: Option<DateTime<Utc>>, otherwise: &str) -> Markup {
    at.map_or_else(|| html! { span.quiet { (otherwise) } }, moment)
}

/// How long ago something was, kept true by the script.
pub(super) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { time.ago datetime=(machine(at)) title=(utc(at)) { (span((now - at).num_milliseconds())) " ago" } }
}

/// For how long something has been so, kept true by the script.
pub(super) fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { time.age datetime=(machine(since)) title=(utc(since)) { (span((now - since).num_milliseconds())) } }
}

/// What sends the newest state of a listing once more, whatever the channel has. Its button says so, with an ellipsis.
pub(super) const SEND_AGAIN: &str = "Send all of it again";

/// Where that stands on the page of its listing.
pub(super) const DO_SYNC: &str = "do-sync";

/// How what is set apart as a command, or as a request, begins: a channel or a person may write backticks, too.
const COMMANDS: [&str; 3] = ["distribution ", "POST /", "DELETE /"];

/// A sentence in which moments are shown as everywhere else, syncs lead to their pages, and commands are set apart.
pub(super) fn told(sentence: &str) -> Markup {
    told_with_button(sentence, false)
}

/// The same to somebody who may have a listing sent once more, or may not: who may is led to the button for it instead of told the command.
pub(super) fn told_with_button(sentence: &str, may_sync: bool) -> Markup {
    let mut rest = sentence;
    let mut shown = Vec::new();
    while let Some((before, command, after)) = first_command(rest) {
        shown.push(html! { (in_words(before)) (command_shown(command, may_sync)) });
        rest = after;
    }
    html! { @for piece in shown { (piece) } (in_words(rest)) }
}

/// The first command of a sentence, with what stands before and after it.
fn first_command(sentence: &str) -> Option<(&str, &str, &str)> {
    sentence.match_indices('`').find_map(|(at, mark)| {
        let (command, after) = sentence[at + mark.len()..].split_once('`')?;
        let is_ours = COMMANDS.iter().any(|begin| command.starts_with(begin));
        is_ours.then_some((&sentence[..at], command, after))
    })
}

/// A command, or the way to what does the same on a page.
fn command_shown(command: &str, may_sync: bool) -> Markup {
    let named = command.strip_prefix("distribution listing sync ").filter(|_| may_sync);
    match named.and_then(|named| named.split(' ').next()?.parse::<Uuid>().ok()) {
        Some(id) => html! { a href=(format!("/listings/{id}#{DO_SYNC}")) title=(command) { (SEND_AGAIN) } },
        None => html! { code { (command) } },
    }
}

/// Words in which moments are shown as everywhere else and syncs lead to their pages; of a channel's own nothing else is to be made.
pub(super) fn in_words(words: &str) -> Markup {
    let mut of_sync = false;
    let pieces = words.split_inclusive(' ').map(|piece| {
        let core = piece.trim_start_matches('(').trim_end_matches([' ', ',', '.', ';', ':', ')']);
        let from = piece.find(core).unwrap_or_default();
        let (before, after) = (&piece[..from], &piece[from + core.len()..]);
        let at = core.ends_with('Z').then(|| DateTime::parse_from_rfc3339(core).ok()).flatten();
        let id = of_sync.then(|| core.parse::<Uuid>().ok()).flatten();
        of_sync = core.eq_ignore_ascii_case("sync");
        match (at, id) {
            (Some(at), _) => html! { (before) (moment(at.to_utc())) (after) },
            (None, Some(id)) => html! { (before) (sync_link(id)) (after) },
            (None, None) => html! { (piece) },
        }
    });
    html! { @for piece in pieces { (piece) } }
}

/// A line of plain words whose list stands elsewhere on the page: it announces none.
pub(super) fn told_alone(line: &str, may_sync: bool) -> Markup {
    match line.strip_suffix(':') {
        Some(line) => html! { (told_with_button(line, may_sync)) "." },
        None => told_with_button(line, may_sync),
    }
}

/// What the words are with which a sync ended: of one that was cancelled those of whoever did that.
/// Of one that found or made what is not known to be its own they are ours.
pub(super) fn whose_words(outcome: Option<&str>, detail: Option<&str>) -> &'static str {
    match outcome {
        Some(outcome) if outcome == SyncOutcome::Cancelled.as_str() => "Why it was cancelled",
        _ if not_its_own::is_told(detail) => "Why it was refused",
        _ => "In the channel's words",
    }
}

fn machine(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// A span of time in its largest unit, rounded down.
pub(super) fn span(ms: i64) -> String {
    match ms.max(0) {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..10_000 if ms % 1_000 >= 100 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
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

/// Of a listing whose unit belongs to another account now.
pub(super) const UNIT_ELSEWHERE: &str = "unit elsewhere";

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
        "pending" | UNDER_WAY | AFTER_ATTEMPT | DUE | LATER => "busy",
        "degraded"
        | "paused"
        | "throttled"
        | "stopped"
        | "accepted_with_rejections"
        | "transient"
        | "unknown_end"
        | "target paused"
        | "listing paused"
        | UNIT_ELSEWHERE
        | PAUSED
        | LOGIN
        | "stale" => "warn",
        "unreachable"
        | "unauthorised"
        | "needs_credentials"
        | "rejected"
        | "exhausted"
        | "target unauthorised"
        | "circuit open"
        | "failed" => "bad",
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

/// The field in which one says why, of a form.
pub(super) fn reason_field() -> Markup {
    html! { label { "Why? It stands in the journal." input name="reason" required maxlength="500" autocomplete="off"; } }
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

/// JSON for those who want to see all of it: rows without structure of their own stand in a line each.
pub(super) fn json(value: &Value) -> Markup {
    let mut text = String::new();
    write(value, 0, &mut text);
    html! { pre tabindex="0" { code { (text) } } }
}

fn write(value: &Value, depth: usize, text: &mut String) {
    let flat = |value: &Value| match value {
        Value::Array(rows) => rows.is_empty(),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| !field.is_array() && !field.is_object()),
        _ => true,
    };
    let (open, close, rows): (_, _, Vec<(Option<&String>, &Value)>) = match value {
        value if flat(value) => return text.push_str(&in_a_line(value)),
        Value::Array(rows) => ('[', ']', rows.iter().map(|row| (None, row)).collect()),
        Value::Object(fields) => ('{', '}', fields.iter().map(|(name, field)| (Some(name), field)).collect()),
        other => return text.push_str(&other.to_string()),
    };
    text.push(open);
    for (index, (name, row)) in rows.iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(&"  ".repeat(depth + 1));
        if let Some(name) = name {
            text.push_str(&Value::from(name.as_str()).to_string());
            text.push_str(": ");
        }
        write(row, depth + 1, text);
    }
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    }
    text.push(close);
}

/// With blanks, at which a narrow window breaks it.
fn in_a_line(value: &Value) -> String {
    let Value::Object(fields) = value else { return value.to_string() };
    let field = |(name, value): (&String, &Value)| format!("{}: {value}", Value::from(name.as_str()));
    format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_short() {
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(number(-12), "−12");
        assert_eq!(span(999), "999 ms");
        assert_eq!(span(1_990), "1.9 s");
        assert_eq!(span(1_000), "1 s");
        assert_eq!(span(119_000), "119 s");
        assert_eq!(span(7_200_000), "2 h");
    }

    #[test]
    fn sentences_show_their_moments_and_lead_to_their_syncs() {
        let id = Uuid::from_u128(7);
        let shown = told(&format!("Sync {id} ended 2030-01-02T03:04:05.678Z: snapshot {id} & more.")).0;
        assert!(shown.contains(&format!("<a href=\"/syncs/{id}\"")), "{shown}");
        assert!(shown.contains("<time datetime=\"2030-01-02T03:04:05.678Z\""), "{shown}");
        assert!(shown.ends_with(&format!(">02 Jan 03:04:05</time>: snapshot {id} &amp; more.")), "{shown}");
        let command = format!("`distribution listing sync {id} --reason REASON`");
        let set_apart = format!("<code>distribution listing sync {id} --reason REASON</code>");
        assert_eq!(told(&format!("It is {command}. ` stands alone.")).0, format!("It is {set_apart}. ` stands alone."));
        let unlink = format!("`distribution listing unlink {id}`");
        let led = told_with_button(&format!("{command} asks for one, {unlink} for none."), true).0;
        assert!(led.starts_with(&format!("<a href=\"/listings/{id}#do-sync\"")), "{led}");
        let ends = format!(">{SEND_AGAIN}</a> asks for one, <code>distribution listing unlink {id}</code> for none.");
        assert!(led.ends_with(&ends), "{led}");
        // What others have set in backticks is no command, and hides none.
        let theirs = told(&format!("no `{id}`: it`s `GET /x` or {unlink}")).0;
        assert_eq!(theirs, format!("no `{id}`: it`s `GET /x` or <code>distribution listing unlink {id}</code>"));
        assert_eq!(in_words(&unlink).0, unlink);
        assert_eq!(told("(Z) . ").0, "(Z) . ");
        assert_eq!(told_alone("2 fields differ:", false).0, "2 fields differ.");
        assert_eq!(told_alone("It waits.", false).0, "It waits.");
    }

    #[test]
    fn rows_of_json_stand_in_a_line_each() {
        let body = serde_json::json!({ "a": [{ "b": 1, "c": "x" }, { "b": 2 }], "d": [] });
        let shown = json(&body).0;
        let wanted = "{\n  &quot;a&quot;: [\n    {&quot;b&quot;: 1, &quot;c&quot;: &quot;x&quot;},\n    {&quot;b&quot;: 2}\n  ],\n  &quot;d&quot;: []\n}";
        assert!(shown.contains(wanted), "{shown}");
        assert!(json(&serde_json::json!([{ "b": 1 }])).0.contains(">[\n  {&quot;b&quot;: 1}\n]<"));
    }
}
