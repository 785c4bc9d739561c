//! The envelope of an answer: `{"status": "success", "result": …}`, or a failure whose text stands in one of several
//! places. The token endpoint answers without the envelope.

use serde_json::Value;

/// Where the channel says that it failed, and no more.
pub(super) const NO_REASON: &str = "no reason is given";

/// What a successful call gave back.
pub(super) struct Answer {
    /// The object or array asked for; often `[]` or absent where there is nothing to say.
    pub result: Value,
    /// On lists, how many there are under the filter.
    pub count: Option<u64>,
}

/// A body with JSON in it that is no success.
pub(super) enum NoSuccess {
    /// The channel says that it failed, in its own words.
    Failed(String),
    /// It cannot be understood.
    Malformed(String),
}

/// Reads the body of a 2xx answer.
pub(super) fn read(body: &[u8]) -> Result<Answer, NoSuccess> {
    let mut body = json(body).map_err(NoSuccess::Malformed)?;
    match body.get("status").and_then(Value::as_str) {
        Some("success") => {
            let count = body.get("count").and_then(Value::as_u64);
            Ok(Answer { result: body.get_mut("result").map(Value::take).unwrap_or_default(), count })
        }
        Some("fail") => Err(NoSuccess::Failed(words(&body).unwrap_or_else(|| NO_REASON.to_owned()))),
        _ => Err(NoSuccess::Malformed("its status is neither success nor fail".to_owned())),
    }
}

/// Any JSON. The error tells where it breaks, not what stands there: it could be half a token.
pub(super) fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("it is no JSON ({error})"))
}

/// The channel's own words about a failure, from `message`, `result` or the OAuth fields.
pub(super) fn words(body: &Value) -> Option<String> {
    let texts = ["message", "result", "error_description", "error"].map(|key| body.get(key).and_then(Value::as_str));
    let mut said: Vec<&str> = Vec::new();
    for text in texts.into_iter().flatten().map(str::trim) {
        if !text.is_empty() && !said.contains(&text) {
            said.push(text);
        }
    }
    (!said.is_empty()).then(|| said.join("; "))
}
