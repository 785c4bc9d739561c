//! What keeps all pages from being up to date, however well each of them looks: NATS is away, the relay or the read models are behind.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::pieces::moment;
use crate::api::transport::Transport;
use crate::views::read_model_lag::PROMISED;

/// A NATS that answers again by then was restarted, or another server of its cluster has taken over.
const MOMENT: TimeDelta = TimeDelta::seconds(5);

/// Each with since when, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    NatsAway(DateTime<Utc>),
    RelayBehind(DateTime<Utc>),
    ReadModelsBehind(DateTime<Utc>),
}

/// What there is of it. The read models lack what was appended from `lag_since` on.
pub(super) fn troubles(transport: Transport, lag_since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<Trouble> {
    let late = |since: &DateTime<Utc>| (now - *since).to_std().is_ok_and(|age| age > PROMISED);
    let away = transport.away_since.filter(|since| now - *since >= MOMENT).map(Trouble::NatsAway);
    let relay = transport.unpublished_since.filter(late).map(Trouble::RelayBehind);
    let read_models = lag_since.filter(late).map(Trouble::ReadModelsBehind);
    [away, relay, read_models].into_iter().flatten().collect()
}

/// In plain words, with what it means for whoever looks. Nothing where there is no trouble.
pub(super) fn show(troubles: &[Trouble]) -> Markup {
    html! { @for trouble in troubles { p.trouble { (words(*trouble)) } } }
}

fn words(trouble: Trouble) -> Markup {
    match trouble {
        Trouble::NatsAway(since) => html! {
            strong { "NATS is away" } " since " (moment(since)) ". Unit changes are taken in and streams filled when it is back. "
            "Syncs go on; nothing is lost."
        },
        Trouble::RelayBehind(since) => html! {
            strong { "The relay is behind" } " since " (moment(since)) ": whoever reads the streams lacks what happened from then on."
        },
        Trouble::ReadModelsBehind(since) => html! {
            strong { "Read models are behind" } " since " (moment(since)) ": what happened from then on is neither on these pages nor "
            "sent."
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_in_a_moment_and_what_is_within_the_promise_is_no_trouble() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let ago = |seconds| Some(now - TimeDelta::seconds(seconds));
        let told = |away, relay, read_models| {
            let transport = Transport { away_since: ago(away), unpublished_since: ago(relay) };
            troubles(transport, ago(read_models), now).len()
        };
        assert_eq!(told(4, 20, 20), 0);
        assert_eq!((told(5, 20, 20), told(4, 21, 20), told(4, 20, 21)), (1, 1, 1));
        assert!(troubles(Transport::default(), None, now).is_empty());
    }
}
