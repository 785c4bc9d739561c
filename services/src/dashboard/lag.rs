//! What stands at the top of every page while the read models lag: what it shows is older than it looks.

use chrono::{DateTime, Utc};
use maud::html;

use super::live::Part;
use super::pieces::age;

/// `since` is when the first event was appended that they do not show.
pub(super) fn part(since: Option<DateTime<Utc>>) -> Part {
    let content =
        html! { @if let Some(since) = since { "Read models are " (age(since, Utc::now())) " behind the journal" } };
    Part::new("lag", "Whether this page is late", content)
}
