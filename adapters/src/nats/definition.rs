//! What NATS has, held against its definition in `nats/`: setting by setting, by the names that they have there. What the files do not name
//! is to be as NATS makes it by itself.

use std::collections::BTreeSet;
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
        write!(f, "{} is {}, and is to be {}", self.setting, self.has, self.wanted)
    }
}

/// All of them, in words.
pub fn listed(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// In what a stream is not as it is defined.
pub(super) fn of_stream(has: &stream::Config, wanted: &stream::Config) -> Vec<Difference> {
    compared(has, wanted, &OF_NO_STREAM)
}

/// In what a consumer is not.
pub(super) fn of_consumer(has: &consumer::Config, wanted: &consumer::Config) -> Vec<Difference> {
    compared(has, wanted, &OF_NO_CONSUMER)
}

fn compared(has: &impl Serialize, wanted: &impl Serialize, passed_over: &[&str]) -> Vec<Difference> {
    let (has, wanted) = (settings(has), settings(wanted));
    let names: BTreeSet<&String> = has.keys().chain(wanted.keys()).collect();
    let differing = names.into_iter().filter_map(|name| {
        let (has, wanted) = (has.get(name), wanted.get(name));
        let same = has == wanted || is_unset(has) && is_unset(wanted) || passed_over.contains(&name.as_str());
        let shown = |value, other| shown(name, value, other);
        (!same).then(|| Difference { setting: name.clone(), has: shown(has, wanted), wanted: shown(wanted, has) })
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
}
