//! The trace of something: a way to where it can be looked at, or its id, to be copied from the page.

use domain::text::trace_id;
use maud::{Markup, html};

use crate::config::TraceUrl;

/// Its id, as a link where there is an address of traces.
pub(super) fn trace(url: Option<&TraceUrl>, traceparent: &str) -> Markup {
    let id = trace_id(Some(traceparent)).unwrap_or(traceparent);
    match url.and_then(|url| url.of(id)) {
        Some(address) => html! { a href=(address) rel="noreferrer" { code { (id) } } },
        None => html! { code.whole { (id) } },
    }
}
