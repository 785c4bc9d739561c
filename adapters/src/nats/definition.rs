//! What NATS has, held against its definition in `nats/`: setting by setting, by the names that they have there. What the files do not name
//! is to be as NATS makes it by itself.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use async_nats::jetstream::{consumer, stream};
use serde::Serialize;
use serde_json::{Map, Value};

/// Settings of a stream that change nothing of what it keeps and takes. Whose it is, `metadata`, is looked at elsewhere, and on how many
/// servers it is says `NATS_REPLICAS`.
const OF_NO_STREAM: [&str; 8] =
    ["name", "description", "metadata", "num_replicas", "placement", "template_owner", "first_seq", "pause_until"];
/// The same of a consumer. A pause is told apart. The server fills in `max_waiting` and `max_batch`, by limits of its own.
const OF_NO_CONSUMER: [&str; 6] = ["name", "description", "metadata", "pause_until", "max_waiting", "max_batch"];

/// What NATS does not change of a stream, or of a consumer, that is there.
const FOR_GOOD: [&str; 16] = [
    "storage",
    "mirror",
    "sealed",
    "deny_delete",
    "deny_purge",
    "persist_mode",
    "allow_msg_ttl",
    "durable_name",
    "deliver_policy",
    "opt_start_seq",
    "opt_start_time",
    "deliver_subject",
    "ack_policy",
    "replay_policy",
    "flow_control",
    "mem_storage",
];

/// Limits of what a stream keeps.
const LIMITS: [&str; 4] = ["max_age", "max_bytes", "max_msgs", "max_msgs_per_subject"];

/// Where each carries, in its metadata, the number of the definition that it was brought to. Every change of a file in `nats/` raises it.
const NUMBER: &str = "distribution.definition";

/// Settings in nanoseconds.
const SPANS: [&str; 8] = [
    "max_age",
    "duplicate_window",
    "subject_delete_marker_ttl",
    "ack_wait",
    "inactive_threshold",
    "idle_heartbeat",
    "max_expires",
    "priority_timeout",
];

/// A setting that is not as it is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name, in NATS and in the files.
    pub setting: String,
    /// What NATS has.
    pub has: String,
    /// What it is to be.
    pub wanted: String,
    /// A limit by which a stream keeps more than is defined. It stays: by the defined one NATS might drop what nobody has taken.
    pub keeps_more: bool,
}

impl Difference {
    /// NATS refuses to change it: what has it is made anew, or stays like this.
    pub fn is_for_good(&self) -> bool {
        let is_queue = [&self.has, &self.wanted].into_iter().any(|value| value == "workqueue");
        FOR_GOOD.contains(&self.setting.as_str()) || self.setting == "retention" && is_queue
    }

    /// It lets the consumer pass over what nobody has taken in.
    pub(super) fn is_filter(&self) -> bool {
        ["filter_subject", "filter_subjects"].contains(&self.setting.as_str())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is = if self.keeps_more { "which keeps more than the defined" } else { "and is to be" };
        write!(f, "{} is {}, {is} {}", self.setting, self.has, self.wanted)
    }
}

/// All of them, in words.
pub fn listed(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// In what a stream is not as it is defined.
pub(super) fn of_stream(has: &stream::Config, wanted: &stream::Config) -> Vec<Difference> {
    compared(has, wanted, &OF_NO_STREAM, &LIMITS)
}

/// In what a consumer is not.
pub(super) fn of_consumer(has: &consumer::Config, wanted: &consumer::Config) -> Vec<Difference> {
    compared(has, wanted, &OF_NO_CONSUMER, &[])
}

/// By their metadata: the number of the definition that a newer build has brought it to, where that is one. It is left alone, and only the
/// newer build can judge it.
pub(super) fn newer(has: &HashMap<String, String>, wanted: &HashMap<String, String>) -> Option<u64> {
    let number = |metadata: &HashMap<String, String>| metadata.get(NUMBER)?.parse::<u64>().ok();
    number(has).filter(|has| Some(*has) > number(wanted))
}

/// Has a definition take over the limits by which the stream keeps more.
pub(super) fn keep_more(wanted: &mut stream::Config, has: &stream::Config) {
    let limits = [
        (&mut wanted.max_bytes, has.max_bytes),
        (&mut wanted.max_messages, has.max_messages),
        (&mut wanted.max_messages_per_subject, has.max_messages_per_subject),
    ];
    for (limit, has) in limits {
        if reach(has) > reach(*limit) {
            *limit = has;
        }
    }
    // No limit is 0 here as well.
    if !wanted.max_age.is_zero() && (has.max_age.is_zero() || has.max_age > wanted.max_age) {
        wanted.max_age = has.max_age;
    }
}

/// How much a limit lets in. No limit is 0 or -1.
fn reach(limit: i64) -> i64 {
    if limit > 0 { limit } else { i64::MAX }
}

fn compared(has: &impl Serialize, wanted: &impl Serialize, passed_over: &[&str], limits: &[&str]) -> Vec<Difference> {
    let (has, wanted) = (settings(has), settings(wanted));
    let names: BTreeSet<&String> = has.keys().chain(wanted.keys()).collect();
    let differing = names.into_iter().filter_map(|name| {
        let (has, wanted) = (has.get(name), wanted.get(name));
        let same = has == wanted || is_unset(has) && is_unset(wanted) || passed_over.contains(&name.as_str());
        let reach = |limit: Option<&Value>| reach(limit.and_then(Value::as_i64).unwrap_or_default());
        let keeps_more = limits.contains(&name.as_str()) && reach(has) > reach(wanted);
        let shown = |value, other| shown(name, value, other);
        (!same).then(|| Difference {
            setting: name.clone(),
            has: shown(has, wanted),
            wanted: shown(wanted, has),
            keeps_more,
        })
    });
    differing.collect()
}

fn settings(config: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(settings)) => settings,
        // Each is a struct, and all keys in it are texts.
        _ => Map::new(),
    }
}

/// The same as not being there, whichever way the server spells it. No limit is 0 or -1.
fn is_unset(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::Number(number)) => number.as_i64().is_some_and(|number| number == 0 || number == -1),
        Some(Value::String(text)) => ["", "none", "default"].contains(&text.as_str()),
        Some(Value::Array(values)) => values.is_empty(),
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Bool(true)) => false,
    }
}

fn shown(name: &str, value: Option<&Value>, other: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) if matches!(other, Some(Value::Bool(_))) => "false".to_owned(),
        None | Some(Value::Null) => "unset".to_owned(),
        Some(Value::Number(number)) if SPANS.contains(&name) => {
            format!("{} s", number.as_f64().unwrap_or_default() / 1e9)
        }
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::topology::StreamKind;
    use super::super::{Nats, Prefix, intake};
    use super::*;

    /// A definition as a server tells it that has filled in the rest.
    fn told<C: Serialize + serde::de::DeserializeOwned>(config: &C, changes: &Value) -> C {
        let mut all = settings(config);
        let filled = json!({
            "max_msg_size": -1, "compression": "none", "consumer_limits": {}, "mirror_direct": false, "sealed": false,
            "deny_delete": false, "allow_rollup_hdrs": false, "metadata": { "_nats.ver": "2.15.1" }, "max_waiting": 512,
        });
        for fields in [&filled, changes] {
            all.extend(fields.as_object().unwrap().clone());
        }
        serde_json::from_value(Value::Object(all)).unwrap()
    }

    #[tokio::test]
    async fn whatever_was_changed_by_hand_is_named_and_what_a_server_fills_in_is_not() {
        let nats = Nats::connect_later("nats://127.0.0.1:9", Prefix::default(), "test").await.unwrap();
        for kind in StreamKind::ALL {
            let defined = nats.stream_config(kind).unwrap();
            assert_eq!(of_stream(&told(&defined, &json!({})), &defined), [], "{kind:?}");
        }
        let defined = nats.stream_config(StreamKind::DeadLetters).unwrap();
        let changes = json!({
            "max_msgs": 20, "discard": "old", "max_msgs_per_subject": 1, "max_age": 3_600_000_000_000_i64,
            "retention": "workqueue", "storage": "memory", "deny_purge": true, "subjects": ["other.>"],
            "allow_direct": false,
        });
        let found = of_stream(&told(&defined, &changes), &defined);
        let words = "allow_direct is false, and is to be true; deny_purge is true, and is to be false; \
            discard is old, and is to be new; max_age is 3600 s, and is to be 0 s; max_msgs is 20, and is to be -1; \
            max_msgs_per_subject is 1, and is to be -1; retention is workqueue, and is to be limits; \
            storage is memory, and is to be file; \
            subjects is [\"other.>\"], and is to be ";
        assert_eq!(listed(&found), format!("{words}{:?}", defined.subjects));
        let for_good: Vec<&str> =
            found.iter().filter(|one| one.is_for_good()).map(|one| one.setting.as_str()).collect();
        assert_eq!(for_good, ["deny_purge", "retention", "storage"]);

        assert!(!found.iter().any(|one| one.keeps_more), "each of these limits keeps less");

        let defined = intake::definition().unwrap();
        assert_eq!(of_consumer(&told(&defined, &json!({})), &defined), []);
        let changes = json!({
            "filter_subject": "other.villa", "headers_only": true, "max_ack_pending": 1,
            "ack_wait": 1_500_000_000, "deliver_policy": "new", "max_deliver": 3,
        });
        let found = of_consumer(&told(&defined, &changes), &defined);
        let words = "ack_wait is 1.5 s, and is to be 30 s; deliver_policy is new, and is to be all; \
            filter_subject is other.villa, and is to be unset; \
            headers_only is true, and is to be false; max_ack_pending is 1, and is to be 10000; \
            max_deliver is 3, and is to be -1";
        assert_eq!(listed(&found), words);
    }

    #[tokio::test]
    async fn a_limit_that_keeps_more_than_is_defined_stays_and_one_that_keeps_less_does_not() {
        let nats = Nats::connect_later("nats://127.0.0.1:9", Prefix::default(), "test").await.unwrap();
        let defined = nats.stream_config(StreamKind::Units).unwrap();
        let gib = 1_073_741_824_i64;
        let raised = json!({ "max_bytes": 20 * gib, "max_age": 0, "max_msgs_per_subject": 1 });
        let has = told(&defined, &raised);
        let (stay, others): (Vec<_>, Vec<_>) = of_stream(&has, &defined).into_iter().partition(|one| one.keeps_more);
        let words = "max_age is 0 s, which keeps more than the defined 604800 s; \
            max_bytes is 21474836480, which keeps more than the defined 4294967296";
        assert_eq!((listed(&stay).as_str(), others.len()), (words, 1), "{others:?}");
        let mut wanted = defined.clone();
        keep_more(&mut wanted, &has);
        let limits = |config: &stream::Config| (config.max_bytes, config.max_age, config.max_messages_per_subject);
        assert_eq!(limits(&wanted), (20 * gib, has.max_age, -1));

        let lowered = told(&defined, &json!({ "max_bytes": gib, "max_age": 3_600_000_000_000_i64, "max_msgs": 5 }));
        assert!(of_stream(&lowered, &defined).iter().all(|one| !one.keeps_more));
        let mut wanted = defined.clone();
        keep_more(&mut wanted, &lowered);
        assert_eq!(of_stream(&wanted, &defined), []);
        // Where there is no limit none keeps more.
        keep_more(&mut wanted, &told(&defined, &json!({ "max_bytes": -1 })));
        assert_eq!(wanted.max_bytes, -1);
        keep_more(&mut wanted, &has);
        assert_eq!(wanted.max_bytes, -1);
    }

    #[test]
    fn only_a_higher_number_is_of_a_newer_build() {
        let numbered = |number: &str| HashMap::from([(NUMBER.to_owned(), number.to_owned())]);
        let defined = intake::definition().unwrap().metadata;
        let own: u64 = defined[NUMBER].parse().unwrap();
        let next = (own + 1).to_string();
        assert_eq!(newer(&numbered(&next), &defined), Some(own + 1));
        let not_newer = [HashMap::new(), numbered("0"), numbered("of nobody"), defined.clone()];
        assert!(not_newer.iter().all(|has| newer(has, &defined).is_none()));
    }
}
