//! The envelope of an answer: `{"status": "success", "result": …}`, or a failure whose text stands in one of several
//! places; and what the answer to a call has in it. The token endpoint answers without the envelope.

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
            let count = body.get("count").and_then(number);
            Ok(Answer { result: body.get_mut("result").map(Value::take).unwrap_or_default(), count })
        }
        Some("fail") => Err(NoSuccess::Failed(words(&body).unwrap_or_else(|| NO_REASON.to_owned()))),
        _ => Err(NoSuccess::Malformed("its status is neither success nor fail".to_owned())),
    }
}

/// What the documented answer to a call has in it. A success without that says nothing of what the call was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing: what the call did is read back.
    Nothing,
    /// A list.
    List,
    /// A page of listings, in which the one with this reference is looked for.
    Page {
        /// Our reference.
        reference: String,
        /// Where it is of all that the account has, so many come before it, and its count goes with what is listed.
        offset: Option<u64>,
    },
    /// The listing that was created: its id. Whether it is ours is asked next, as the id of another listing would have us write to that one.
    Created,
    /// The listing with this id.
    Listing {
        /// Its id.
        id: String,
    },
}

impl Wanted {
    /// What an answer lacks; not what it has instead, which could be anything.
    pub fn missing_in(&self, answer: &Answer) -> Option<&'static str> {
        let result = &answer.result;
        match self {
            Self::Nothing => None,
            Self::List => (!result.is_array()).then_some("there is no list in it"),
            Self::Page { reference, offset } => {
                let ours = result.as_array().into_iter().flatten().filter(|listing| carries(listing, reference));
                let mut ours = ours.map(id_of).peekable();
                if ours.peek().is_some() {
                    // It is there, whatever else is said.
                    return ours.any(|id| id.is_none()).then_some("a listing with our reference has no id");
                }
                nameless(result).or_else(|| contradiction(answer, (*offset)?))
            }
            Self::Created => created(result).err(),
            Self::Listing { id } => {
                let found = id_of(result).is_some_and(|found| id.parse::<u64>() == Ok(found));
                (!found).then_some("the listing is not in it")
            }
        }
    }
}

/// Why nobody knows which listings there are: one without an id and a name could be any.
fn nameless(result: &Value) -> Option<&'static str> {
    let Value::Array(listings) = result else { return Some("there is no list in it") };
    let could_be_any = |listing: &Value| {
        let name = listing.get("internalListingName").and_then(Value::as_str).unwrap_or_default();
        id_of(listing).is_none() && name.trim().is_empty()
    };
    listings.iter().any(could_be_any).then_some("a listing in it has neither id nor name")
}

/// Why nobody knows from a page of all that an account has whether a listing is there that is not in it.
fn contradiction(answer: &Answer, offset: u64) -> Option<&'static str> {
    let is_empty = answer.result.as_array().is_some_and(Vec::is_empty);
    let counts_more = answer.count.is_some_and(|count| count > offset);
    (is_empty && counts_more).then_some("it counts more listings and lists none of them")
}

/// Whether a listing has exactly this reference.
pub(super) fn carries(listing: &Value, reference: &str) -> bool {
    listing.get("internalListingName").and_then(Value::as_str) == Some(reference)
}

/// The id of a listing.
pub(super) fn id_of(listing: &Value) -> Option<u64> {
    listing.get("id").and_then(number)
}

/// The id of the listing that was created, or what the answer lacks.
pub(super) fn created(result: &Value) -> Result<u64, &'static str> {
    id_of(result).ok_or("there is no listing with an id in it")
}

/// Numbers come as text now and then.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Whether a body that came with an error is a failure in the channel's own form.
pub(super) fn is_failure(body: &[u8]) -> bool {
    json(body).is_ok_and(|body| body.get("status").and_then(Value::as_str) == Some("fail"))
}

/// Whether it is at least an object that says why, as frameworks answer to a body that they refuse.
pub(super) fn says_why(body: &[u8]) -> bool {
    json(body).is_ok_and(|body| words(&body).is_some())
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
