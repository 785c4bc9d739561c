//! `ChannelListing`: one unit on one target, as an aggregate. It owns the sync: what was asked for last, what the
//! channel took last, and what happens next.
//!
//! Invariant: latest wins. There is at most one pending sync; a newer request takes its place.
//! Invariant: a revision of the unit is taken once, and never after a newer one.

mod command;
mod decide;
mod error;
mod event;
mod overlap;
mod report;
mod state;
mod told;
mod unproved;

pub use command::{Cause, LinkListing, ListingCommand, Origin, RequestSync};
pub use error::ListingError;
pub use event::{ListingEvent, SyncAttempt, SyncRequest};
pub use report::{Progress, Silent, SyncReport};
pub use state::{Accepted, CREATION_GRACE, ChannelListing, Creation, Link, LinkState, Pending};

use cqrs_es::{Aggregate, event_sink::EventSink};

impl Aggregate for ChannelListing {
    const TYPE: &'static str = "ChannelListing";
    type Command = ListingCommand;
    type Event = ListingEvent;
    type Error = ListingError;
    type Services = ();

    async fn handle(&mut self, command: ListingCommand, (): &(), sink: &EventSink<Self>) -> Result<(), ListingError> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: ListingEvent) {
        self.evolve(event);
    }
}
