//! The trace of something: a way to where it can be looked at, or its id, to be copied from the page; and the trace that somebody names.

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

/// The trace id in a text: 32 hexadecimal digits, or a whole traceparent.
pub(super) fn named(text: &str) -> Option<String> {
    let id = text.split('-').find(|part| part.len() == 32).unwrap_or(text).to_ascii_lowercase();
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_known_by_its_id_alone_and_in_a_traceparent() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(named(id).as_deref(), Some(id));
        assert_eq!(named(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(), Some(id));
        assert_eq!(named("villa-0042"), None);
    }
}
