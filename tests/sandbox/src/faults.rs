//! Faults on demand: rules that say which calls fail, how, how often. Rules are tried in order; every latency rule
//! that fires adds its wait, the first other rule that fires decides what happens. Calls refused by a limit use none.

use std::{sync::RwLock, time::Duration};

use rand::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::limits::Applied;

/// What a fault does to the call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// Waits before the call is processed; a client that leaves meanwhile leaves nothing applied.
    Latency { min_ms: u64, max_ms: u64 },
    /// Answers with this status; nothing applied. A text `body` is sent as it is, any other as JSON.
    Status {
        code: u16,
        #[serde(default)]
        body: Option<Value>,
    },
    /// Answers 429 with the documented headers; nothing applied.
    RateLimited {
        retry_after_s: u64,
        #[serde(default)]
        applied: Applied,
    },
    /// Accepts the call and stays silent; then answers as usual. `apply` says whether the call is processed before
    /// the silence (a client that leaves cannot know) or after it (a client that leaves has changed nothing).
    Hang {
        seconds: f64,
        #[serde(default)]
        apply: bool,
    },
    /// Accepts the call and stays silent until the rule is taken away; then answers as usual. A client that leaves
    /// meanwhile leaves nothing applied.
    Hold,
    /// Closes the connection without an answer; nothing applied.
    CutBefore,
    /// Processes the call, then closes the connection without an answer.
    CutAfter,
    /// Processes the call, then sends only the first half of the answer's JSON (as a complete HTTP answer).
    MalformedJson,
    /// Processes the call, then answers this instead, as `Status` does.
    Lie {
        code: u16,
        #[serde(default)]
        body: Option<Value>,
    },
    /// Revokes the token the call came with and answers 403.
    ExpiredToken,
    /// Answers success as if the call were done; nothing applied.
    IgnoreWrites,
}

/// One rule. Absent conditions match every call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Given by the sandbox.
    #[serde(default)]
    pub id: u64,
    #[serde(default)]
    pub account: Option<u64>,
    #[serde(default)]
    pub method: Option<String>,
    #[serde(default)]
    pub path_prefix: Option<String>,
    /// Whole path, `*` standing for exactly one segment: `/v1/listings/*/calendar`.
    #[serde(default)]
    pub path_pattern: Option<String>,
    #[serde(flatten)]
    pub kind: Kind,
    /// Chance that a matching call is hit, 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// Hits left; absent = no end.
    #[serde(default)]
    pub count: Option<u64>,
    /// Hits so far.
    #[serde(default)]
    pub hits: u64,
}

fn always() -> f64 {
    1.0
}

impl Rule {
    /// The first thing wrong with it, by field.
    pub fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(format!("probability: {} is not between 0 and 1", self.probability));
        }
        match &self.kind {
            Kind::Latency { min_ms, max_ms } if min_ms > max_ms => {
                Err(format!("min_ms: {min_ms} is more than max_ms {max_ms}"))
            }
            Kind::Status { code, .. } | Kind::Lie { code, .. } if !(200..=599).contains(code) => {
                Err(format!("code: {code} is not between 200 and 599"))
            }
            Kind::Hang { seconds, .. } if !(0.0..=86_400.0).contains(seconds) => {
                Err(format!("seconds: {seconds} is not between 0 and 86400"))
            }
            _ => Ok(()),
        }
    }

    fn matches(&self, call: &Call<'_>) -> bool {
        self.count != Some(0)
            && self.account.is_none_or(|account| Some(account) == call.account)
            && self.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(call.method))
            && self.path_prefix.as_deref().is_none_or(|prefix| call.path.starts_with(prefix))
            && self.path_pattern.as_deref().is_none_or(|pattern| fits(pattern, call.path))
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    pattern.split('/').all(|want| segments.next().is_some_and(|got| want == "*" || want == got))
        && segments.next().is_none()
}

/// The call as rules see it.
pub struct Call<'a> {
    pub account: Option<u64>,
    pub method: &'a str,
    pub path: &'a str,
}

/// What will happen to one call.
#[derive(Default)]
pub struct Plan {
    pub latency: Duration,
    /// What the rule of this number does.
    pub deed: Option<(u64, Kind)>,
}

#[derive(Default)]
struct Inner {
    rules: Vec<Rule>,
    last_id: u64,
}

#[derive(Default)]
pub struct Faults {
    inner: RwLock<Inner>,
    taken_away: watch::Sender<()>,
}

impl Faults {
    pub fn add(&self, mut rule: Rule) -> Rule {
        let mut inner = self.write();
        inner.last_id += 1;
        rule.id = inner.last_id;
        rule.hits = 0;
        inner.rules.push(rule.clone());
        rule
    }

    pub fn list(&self) -> Vec<Rule> {
        self.read().rules.clone()
    }

    pub fn clear(&self) {
        self.write().rules.clear();
        self.taken_away.send_replace(());
    }

    /// False when there is no such rule.
    pub fn remove(&self, id: u64) -> bool {
        let rules = &mut self.write().rules;
        let before = rules.len();
        rules.retain(|rule| rule.id != id);
        self.taken_away.send_replace(());
        rules.len() < before
    }

    /// Waits until there is no such rule any more.
    pub async fn gone(&self, id: u64) {
        let mut taken_away = self.taken_away.subscribe();
        while self.read().rules.iter().any(|rule| rule.id == id) {
            if taken_away.changed().await.is_err() {
                return;
            }
        }
    }

    /// Decides over one call and uses up the hits of the rules that fired.
    pub fn plan(&self, call: &Call<'_>) -> Plan {
        let mut plan = Plan::default();
        if self.read().rules.is_empty() {
            return plan;
        }
        let mut rng = rand::rng();
        for rule in &mut self.write().rules {
            let is_latency = matches!(rule.kind, Kind::Latency { .. });
            if (plan.deed.is_some() && !is_latency) || !rule.matches(call) || !rng.random_bool(rule.probability) {
                continue;
            }
            rule.hits += 1;
            rule.count = rule.count.map(|left| left - 1);
            match rule.kind {
                Kind::Latency { min_ms, max_ms } => {
                    plan.latency += Duration::from_millis(rng.random_range(min_ms..=max_ms));
                }
                ref deed => plan.deed = Some((rule.id, deed.clone())),
            }
        }
        plan
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner.read().expect("no holder of the faults panics")
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.inner.write().expect("no holder of the faults panics")
    }
}
