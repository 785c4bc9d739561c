//! What a payload's bodies take in memory, about.

use serde_json::Value;

/// A node of an object's tree: room for eleven fields with their names. One that grew by fields in their order is half full.
const NODE_BYTES: u64 = 640;
const NODE_FIELDS: u64 = 11;
const VALUE_BYTES: u64 = size_of::<Value>() as u64;

/// What a value takes, about: the value itself, its text, and for an object the nodes of its tree and the names in them.
pub(super) fn bytes_of(value: &Value) -> u64 {
    let inside = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => allocated(text),
        Value::Array(items) => items.iter().map(bytes_of).sum(),
        Value::Object(fields) => {
            let count = fields.len() as u64;
            let nodes = if count <= NODE_FIELDS { count.min(1) } else { count.div_ceil(NODE_FIELDS / 2) };
            // The value itself is in the node.
            let beside = |(name, field): (&String, &Value)| allocated(name) + bytes_of(field) - VALUE_BYTES;
            NODE_BYTES * nodes + fields.iter().map(beside).sum::<u64>()
        }
    };
    VALUE_BYTES + inside
}

fn allocated(text: &str) -> u64 {
    (text.len() as u64).next_multiple_of(16)
}
