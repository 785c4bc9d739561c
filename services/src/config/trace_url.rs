//! Where a trace can be looked at: an address with a place for the trace's id.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Stands in the address where the id goes.
const PLACE: &str = "{trace_id}";
/// An id of a trace, to try the address with.
const SAMPLE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// An address of traces, e.g. `https://traces.example.org/trace/{trace_id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceUrl(String);

/// A text that is no address of traces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; it looks like https://traces.example.org/trace/{{trace_id}}")]
pub struct InvalidTraceUrl(&'static str);

impl FromStr for TraceUrl {
    type Err = InvalidTraceUrl;
    fn from_str(text: &str) -> Result<Self, InvalidTraceUrl> {
        if text.matches(PLACE).count() != 1 {
            return Err(InvalidTraceUrl("{trace_id} has to stand in it once"));
        }
        let tried = Url::parse(&text.replace(PLACE, SAMPLE)).map_err(|_| InvalidTraceUrl("it is no URL"))?;
        if !matches!(tried.scheme(), "http" | "https") {
            return Err(InvalidTraceUrl("it is neither http nor https"));
        }
        if !tried.username().is_empty() || tried.password().is_some() {
            return Err(InvalidTraceUrl("everybody who is signed in sees it, so it holds no user and no password"));
        }
        if tried.authority().contains(SAMPLE) {
            return Err(InvalidTraceUrl("{trace_id} stands after the host, in the path, the query or the fragment"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TraceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TraceUrl {
    /// The address of a trace; of a text that is no id of one there is none.
    pub fn of(&self, trace_id: &str) -> Option<String> {
        let is_id = trace_id.len() == SAMPLE.len() && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| self.0.replace(PLACE, trace_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_id_is_needed_once_and_after_the_host() {
        let url: TraceUrl = "https://traces.example.org/trace/{trace_id}?view=tree".parse().unwrap();
        let wanted = format!("https://traces.example.org/trace/{SAMPLE}?view=tree");
        assert_eq!(url.of(SAMPLE), Some(wanted));
        assert_eq!(url.of("x\" onclick=\""), None);
        for wrong in [
            "https://traces.example.org/trace/",
            "https://traces.example.org/{trace_id}/{trace_id}",
            "javascript:alert({trace_id})",
            "ftp://traces.example.org/{trace_id}",
            "https://{trace_id}.example.org/",
            "https://me:secret@traces.example.org/{trace_id}",
            "/trace/{trace_id}",
        ] {
            assert!(wrong.parse::<TraceUrl>().is_err(), "{wrong}");
        }
        assert!("http://localhost:3000/explore#{trace_id}".parse::<TraceUrl>().is_ok());
    }
}
