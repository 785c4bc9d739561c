//! `ChannelTarget`: one account at one channel, with its limits and credentials, as an aggregate.

pub mod bounds;
mod command;
mod error;
mod event;
mod state;

pub use command::{Configuration, NewTarget, TargetCommand};
pub use error::TargetError;
pub use event::{Health, TargetEvent};
pub use state::{ChannelTarget, Lifecycle, NEEDS_CREDENTIALS, Target};

use cqrs_es::{Aggregate, event_sink::EventSink};

impl Aggregate for ChannelTarget {
    const TYPE: &'static str = "ChannelTarget";
    type Command = TargetCommand;
    type Event = TargetEvent;
    type Error = TargetError;
    type Services = ();

    async fn handle(&mut self, command: TargetCommand, (): &(), sink: &EventSink<Self>) -> Result<(), TargetError> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: TargetEvent) {
        self.evolve(event);
    }
}
