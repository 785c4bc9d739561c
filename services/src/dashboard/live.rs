//! Pages that stay up to date. `GET /live?topic=…` is a stream of the parts of a page that changed.
//!
//! However many look, the work is done once: one [`watch`] of the process sees what is new in the journal and makes each
//! [`Topic`] that is looked at and touched anew, and all its viewers get the same bytes. While it cannot, they are told that what
//! they see stands still, and since when.

mod hub;
mod places;
mod stream;
mod topic;
mod watch;

use std::sync::Arc;

use axum::body::Bytes;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use sha2::{Digest as _, Sha256};

pub use hub::Live;
pub(super) use stream::stream;

/// A part of a page that is replaced when it has changed.
#[derive(Debug, Clone)]
pub(super) struct Part {
    id: &'static str,
    title: &'static str,
    content: Markup,
}

impl Part {
    pub(super) fn new(id: &'static str, title: &'static str, content: Markup) -> Self {
        Self { id, title, content }
    }

    /// With its heading, as it stands in the page.
    pub(super) fn section(&self) -> Markup {
        let heading = format!("{}-title", self.id);
        html! {
            section aria-labelledby=(heading) {
                h2 #(heading) { (self.title) }
                div #(self.id) { (self.content) }
            }
        }
    }

    /// Without a heading: what it is speaks for itself.
    pub(super) fn alone(&self) -> Markup {
        html! { div #(self.id) role="group" aria-label=(self.title) { (self.content) } }
    }

    /// As an event of the stream, with a mark that changes when its content does.
    fn event(&self) -> Sent {
        let data = serde_json::json!({ "id": self.id, "html": self.content.0 });
        let mark = Sha256::digest(self.content.0.as_bytes()).into();
        Sent { id: self.id, mark, bytes: Bytes::from(format!("event: part\ndata: {data}\n\n")) }
    }
}

/// A part as viewers get it.
#[derive(Debug, Clone)]
struct Sent {
    id: &'static str,
    mark: [u8; 32],
    bytes: Bytes,
}

/// A topic as it is now.
#[derive(Debug, Clone, Default)]
struct Now {
    /// Its parts as they were made last.
    parts: Arc<Vec<Sent>>,
    /// Since when they are not kept up to date, UTC; `None` while they are.
    stale_since: Option<DateTime<Utc>>,
    /// Which making of it that was, from 1.
    nth: u64,
}
