//! Unit messages: the contract's example under other names, with a description of 1.5 KB that tells its revision.

use serde_json::{Value, json};

/// The organisation of every benchmark.
pub const ORG: &str = "bench";
/// Its account.
pub const ACCOUNT: &str = "villas";

const EXAMPLE: &str = include_str!("../../nats/examples/unit-changed.v1.json");
const SENTENCE: &str = "A quiet house between rice fields and the sea, with a pool, a cook on request and fast wifi. ";
const DESCRIPTION: usize = 1_500;

/// A unit's name.
pub fn name(index: usize) -> String {
    format!("villa-{index:06}")
}

/// 1.5 KB that no other revision of no other unit has.
pub fn description(index: usize, revision: u64) -> String {
    let mut text = format!("House {index}, edition {revision}. ");
    while text.len() < DESCRIPTION {
        text.push_str(SENTENCE);
    }
    text.truncate(DESCRIPTION);
    text
}

/// Makes messages without reading the example each time.
#[derive(Debug)]
pub struct Messages {
    example: Value,
}

impl Messages {
    /// Reads the example.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { example: serde_json::from_str(EXAMPLE)? })
    }

    /// The message of a revision. Revisions differ in their description alone, so that content is what changes.
    pub fn unit(&self, index: usize, revision: u64) -> Value {
        let mut message = self.example.clone();
        message["org_id"] = json!(ORG);
        message["account_id"] = json!(ACCOUNT);
        message["unit_id"] = json!(name(index));
        message["revision"] = json!(revision);
        message["unit"]["description"] = json!({"en": description(index, revision)});
        message
    }
}
