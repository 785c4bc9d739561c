//! What the HTTP API's document says of values: of everything that a request gives, and of every closed set; and that its
//! patterns take what the code takes. That the server holds callers to it, a test of the running service shows.

use std::fmt::Write as _;

use domain::channel::ChannelKind;
use domain::hash::{SHA256_PATTERN, SnapshotHash};
use domain::ids::{NAME_PATTERN, TRACE_ID_PATTERN, TargetId, TraceId, UnitId};
use domain::secret::{VALUE_PATTERN, check_value};
use domain::target::bounds::{BASE_URL_PATTERN, CHANNEL_ACCOUNT_PATTERN};
use domain::target::{ChannelTarget, NewTarget, TargetCommand};
use domain::text::{LINE_PATTERN, LONGEST_LINE, TAKEN_TRACEPARENT_PATTERN, TRACEPARENT_PATTERN, line, traceparent};
use domain::window::{LIMIT_PATTERN, RateLimit};
use serde_json::{Value, json};
use services::api::document;
use uuid::Uuid;

use crate::tree::none;

fn told() -> Value {
    serde_json::to_value(document()).expect("a document is JSON")
}

/// What is missing of a value that a request gives.
fn loose(schema: &Value) -> Option<&'static str> {
    let is =
        |kind: &str| schema["type"] == kind || schema["type"].as_array().is_some_and(|all| all.contains(&json!(kind)));
    let known = schema.get("enum").is_some() || schema.get("format").is_some_and(|format| format != "password");
    let within = schema.get("minLength").is_some() && schema.get("maxLength").is_some();
    match () {
        () if is("string") && !known && !within => Some("no lengths"),
        () if is("string") && !known && schema.get("pattern").is_none() => Some("no pattern"),
        () if is("integer") && schema.get("minimum").is_none() => Some("no minimum"),
        () if is("array") => Some("no bounds for lists are known here"),
        () => None,
    }
}

#[test]
fn nothing_that_a_request_gives_is_without_bounds() {
    let document = told();
    let (mut found, mut seen) = (Vec::new(), 0);
    let mut look = |place: String, schema: &Value| {
        seen += 1;
        found.extend(loose(schema).map(|missing| format!("{place}: {missing}")));
    };
    let shared = document["components"]["parameters"].as_object().expect("there are parameters");
    for (name, parameter) in shared {
        look(name.clone(), &parameter["schema"]);
    }
    for (path, item) in document["paths"].as_object().expect("there are paths") {
        for (method, operation) in item.as_object().expect("a path has operations") {
            let inline =
                operation["parameters"].as_array().into_iter().flatten().filter(|one| one.get("$ref").is_none());
            for parameter in inline {
                look(format!("{method} {path} {}", parameter["name"]), &parameter["schema"]);
            }
            let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(name) = body.as_str().and_then(|at| at.rsplit('/').next()) else { continue };
            let fields = document["components"]["schemas"][name]["properties"].as_object().expect("a body has fields");
            for (field, schema) in fields {
                look(format!("{name}.{field}"), schema);
            }
        }
    }
    none("a value of a request without bounds", &found);
    assert!(seen > 100, "{seen} values were looked at");
}

/// What a field of an answer is called that has one of a few values.
const CLOSED: [&str; 25] = [
    "last_success_of",
    "last_failure_of",
    "state",
    "outcome",
    "last_outcome",
    "cause",
    "class",
    "lifecycle",
    "health",
    "from_health",
    "to_health",
    "purpose",
    "needs",
    "sections",
    "took",
    "took_in_part",
    "parts_of",
    "in_doubt",
    "roles",
    "permissions",
    "decision",
    "channel",
    "unit",
    "step",
    "scope",
];

fn closed(place: &str, schema: &Value, open: &mut String) {
    for (field, property) in schema["properties"].as_object().into_iter().flatten() {
        if CLOSED.contains(&field.as_str()) {
            let value = property.get("items").unwrap_or(property);
            if value.get("enum").is_none() && value.get("$ref").is_none() {
                let _ = writeln!(open, "{place}.{field}");
            }
        }
        closed(&format!("{place}.{field}"), property, open);
        closed(&format!("{place}.{field}"), &property["items"], open);
    }
    for part in ["oneOf", "allOf"].iter().flat_map(|part| schema[part].as_array().into_iter().flatten()) {
        closed(place, part, open);
    }
}

#[test]
fn every_closed_set_is_told() {
    let mut open = String::new();
    for (name, schema) in told()["components"]["schemas"].as_object().expect("there are schemas") {
        closed(name, schema, &mut open);
    }
    assert!(open.is_empty(), "no enum:\n{open}");
}

/// Roots of an API, and what is none.
const ROOTS: [&str; 37] = [
    "https://api.hostaway.com/v1",
    "http://x",
    "https://",
    "https:///x",
    "ftp://x",
    "https://a@b",
    "https://a?b",
    "https://a b",
    "https://a#b",
    "https://a\\b",
    "https://a\tb",
    "https://a\u{1}",
    "https://ü",
    "https://a/v1/",
    "https://a/v1/v2",
    "https://a//",
    "https://a/b//c",
    "https://a.",
    "https://a./v1",
    "https://a%2e/v1",
    "https://a/%76",
    "HTTPS://API.hostaway.com/v1",
    "hTtP://x",
    "https://user:pw@a/v1",
    "https://a/.",
    "https://a/..",
    "https://a/./v1",
    "https://a/v1/../../x",
    "https://a/...",
    "https://a/..v1",
    "https://a/.well-known/v1.0",
    "https://a..b/",
    "https://.a",
    "https://a.b.:443",
    "https://a:8443/v1",
    "https://[::1]:8080/v1",
    "https://[2606:4700::1111]",
];

#[test]
fn the_patterns_take_what_the_code_takes() {
    let hash = "0aF".repeat(21) + "9";
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let later = |version: &str, more: &str| format!("{version}{}{more}", &trace[2..]);
    let samples = [
        "villa-0042",
        "a b",
        "",
        "  ",
        "a\nb",
        "a\u{1b}",
        "a\u{85}b",
        "ü",
        "10450",
        "10450x",
        "12/10s",
        "12/500ms",
        " 12 / 10 s ",
        "12/10",
        "12",
        "0x1/1s",
        "12/10m",
        "12-10s",
        &hash,
        &hash[1..],
        "z0F",
        trace,
        &trace[1..],
        &later("01", ""),
        &later("fe", "-more"),
        &later("00", "-more"),
        &later("ff", ""),
        &later("01", "more"),
        "00-x",
    ];
    let taken = |pattern: &str, text: &str| {
        let schema = jsonschema::validator_for(&json!({ "pattern": pattern })).expect("it is a pattern");
        schema.is_valid(&json!(text))
    };
    let base_url = |text: &str| {
        let new = NewTarget {
            target_id: TargetId(Uuid::nil()),
            org_id: "sunstay".parse().expect("a name"),
            account_id: "bali".parse().expect("a name"),
            name: "x".to_owned(),
            channel: ChannelKind::Hostaway,
            base_url: text.to_owned(),
            channel_account: "1".to_owned(),
            credential: "file:x".parse().expect("a reference"),
            rate_limit: RateLimit::default(),
            account_rate_limit: None,
        };
        ChannelTarget::default().decide(TargetCommand::Create(new)).is_ok()
    };
    for text in samples.into_iter().chain(ROOTS) {
        assert_eq!(taken(NAME_PATTERN, text), text.parse::<UnitId>().is_ok(), "{text:?}");
        assert_eq!(taken(LIMIT_PATTERN, text), text.parse::<RateLimit>().is_ok(), "{text:?}");
        assert_eq!(taken(SHA256_PATTERN, text), text.parse::<SnapshotHash>().is_ok(), "{text:?}");
        assert_eq!(taken(TAKEN_TRACEPARENT_PATTERN, text), traceparent(text).is_some(), "{text:?}");
        let carried_on = traceparent(text).is_none_or(|carried_on| taken(TRACEPARENT_PATTERN, &carried_on));
        assert!(carried_on, "{text:?}");
        assert_eq!(taken(LINE_PATTERN, text), line(text, LONGEST_LINE).is_ok(), "{text:?}");
        let external = ChannelKind::Hostaway.external_id(text).is_ok();
        assert_eq!(taken(ChannelKind::EXTERNAL_ID_PATTERN, text), external, "{text:?}");
        assert_eq!(taken(CHANNEL_ACCOUNT_PATTERN, text), external, "{text:?}");
        assert_eq!(taken(BASE_URL_PATTERN, text), base_url(text), "{text:?}");
        let secret = check_value(text).is_ok() && !text.chars().any(char::is_control);
        assert_eq!(taken(VALUE_PATTERN, text), secret, "{text:?}");
    }
}

#[test]
fn the_pattern_of_a_traces_id_takes_what_the_code_takes() {
    let pattern = jsonschema::validator_for(&json!({ "pattern": TRACE_ID_PATTERN })).expect("it is a pattern");
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (longer, upper, broken) = (format!("{id}0"), id.to_uppercase(), format!("{id}\n"));
    for (text, is_one) in [(id, true), (&id[1..], false), (&*longer, false), (&*upper, false), (&*broken, false)] {
        assert_eq!((pattern.is_valid(&json!(text)), text.parse::<TraceId>().is_ok()), (is_one, is_one), "{text:?}");
    }
}

#[test]
fn the_pattern_of_a_line_knows_every_character_as_the_code_does() {
    let pattern = jsonschema::validator_for(&json!({ "pattern": LINE_PATTERN })).expect("it is a pattern");
    let (basic, selectors) = ('\0'..='\u{ffff}', '\u{e0100}'..='\u{e01ff}');
    let mut refused = 0;
    for character in basic.chain(selectors).chain(['👩', '\u{2fa1d}']) {
        for text in [format!("a{character}b"), character.to_string()] {
            let taken = line(&text, LONGEST_LINE).is_ok();
            assert_eq!(pattern.is_valid(&json!(text)), taken, "{text:?}");
            refused += usize::from(!taken);
        }
    }
    assert!(refused > 200, "{refused}");
}
