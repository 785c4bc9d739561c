//! Open vocabularies: property types, bed types and amenities. The contract takes any code; a channel's mapping says
//! which ones it knows and rejects the others one by one.

use std::fmt;

/// A code of an open vocabulary, as it was received (`wifi`, `king`, `villa`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenCode(String);

impl OpenCode {
    pub(super) fn new(code: String) -> Self {
        Self(code)
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OpenCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
