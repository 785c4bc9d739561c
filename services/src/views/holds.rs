//! What keeps a listing from being sent until somebody lets it go, now and before: pauses and refused credentials, folded
//! from the events of the listing and its target.

use chrono::{DateTime, Utc};
use domain::ids::{ListingId, TargetId};
use domain::listing::ListingEvent;
use domain::recorded::{ChannelEvent, Recorded};
use domain::target::{Health, TargetEvent};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::circuit::OpenCircuit;
use super::history::{LISTING, NoHistory, TARGET, of_types};
use super::said::said;

/// What can hold a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// Somebody had paused its listing.
    ListingPaused,
    /// Somebody had paused its target.
    TargetPaused,
    /// The channel refused the target's credentials.
    TargetUnauthorised,
    /// The target failed again and again.
    CircuitOpen,
}

/// A pause, refused credentials, or that a listing was taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: String,
    /// Who did it.
    pub by: String,
    /// When, UTC.
    pub at: DateTime<Utc>,
}

/// A hold that somebody or something has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// What it was.
    pub holder: Holder,
    /// Why, by whom, and from when.
    pub hold: Hold,
    /// To when, UTC.
    pub until: DateTime<Utc>,
}

/// The holds of a listing and of its target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holds {
    /// What holds it now.
    pub now: Vec<(Holder, Hold)>,
    /// What held it before, in the order in which it ended.
    pub over: Vec<Over>,
    /// That it is unlinked.
    pub unlinked: Option<Hold>,
}

const OF_LISTING: [&str; 4] = ["ListingPaused", "ListingResumed", "ListingUnlinked", "ListingLinked"];
const OF_TARGET: [&str; 5] = ["TargetPaused", "TargetResumed", "HealthChanged", "CredentialRotated", "TargetDeleted"];

/// The holds of a listing on a target.
pub async fn of(connection: &mut PgConnection, listing: ListingId, target: TargetId) -> Result<Holds, NoHistory> {
    let mut holds = Holds::default();
    for event in of_types(connection, LISTING, listing.0, &OF_LISTING).await? {
        holds.take(&event);
    }
    for event in of_types(connection, TARGET, target.0, &OF_TARGET).await? {
        holds.take(&event);
    }
    Ok(holds)
}

impl Holds {
    /// What holds it now, each in a few words.
    pub fn words(&self) -> Vec<String> {
        let words = |(holder, hold): &(Holder, Hold)| match holder {
            Holder::ListingPaused => format!("the listing is paused{}", hold.words()),
            Holder::TargetPaused => format!("the target is paused{}", hold.words()),
            Holder::TargetUnauthorised => {
                format!("the channel refuses the target's credentials: {}", said(&hold.reason))
            }
            Holder::CircuitOpen => format!("the target's circuit is open: {}", said(&hold.reason)),
        };
        self.now.iter().map(words).collect()
    }

    /// The same with the circuit of its target, where that is open: whoever lets the others go finds it held still. Where nothing else holds it,
    /// the queue tells of its circuit.
    pub fn words_beside(&self, circuit: Option<&OpenCircuit>) -> Vec<String> {
        let held = self.words();
        let circuit = circuit.filter(|_| !held.is_empty()).map(OpenCircuit::words);
        held.into_iter().chain(circuit).collect()
    }

    fn take(&mut self, recorded: &Recorded) {
        let at = recorded.recorded_at;
        let hold = |reason: &String| Hold { reason: reason.clone(), by: recorded.metadata.actor.name.clone(), at };
        match &recorded.event {
            ChannelEvent::Listing(event) => match &**event {
                ListingEvent::ListingPaused { reason } => self.begin(Holder::ListingPaused, hold(reason)),
                ListingEvent::ListingResumed {} => self.end(Holder::ListingPaused, at),
                ListingEvent::ListingUnlinked { reason, .. } => {
                    self.end(Holder::ListingPaused, at);
                    self.unlinked = Some(hold(reason));
                }
                ListingEvent::ListingLinked { .. } => self.unlinked = None,
                ListingEvent::SyncRequested { .. }
                | ListingEvent::SyncSkipped { .. }
                | ListingEvent::CreationStarted { .. }
                | ListingEvent::SyncAccepted { .. }
                | ListingEvent::SyncFoundUnchanged { .. }
                | ListingEvent::SyncDeferred { .. }
                | ListingEvent::SyncFailed { .. }
                | ListingEvent::SupersededSyncFailed { .. }
                | ListingEvent::LateAttemptRecorded { .. } => {}
            },
            ChannelEvent::Target(event) => match event {
                TargetEvent::TargetPaused { reason } => self.begin(Holder::TargetPaused, hold(reason)),
                TargetEvent::TargetResumed {} => self.end(Holder::TargetPaused, at),
                TargetEvent::HealthChanged { to: Health::Unauthorised, reason, .. } => {
                    self.begin(Holder::TargetUnauthorised, hold(reason));
                }
                TargetEvent::HealthChanged { .. } | TargetEvent::CredentialRotated { .. } => {
                    self.end(Holder::TargetUnauthorised, at);
                }
                TargetEvent::TargetDeleted { .. } => {
                    self.end(Holder::TargetPaused, at);
                    self.end(Holder::TargetUnauthorised, at);
                }
                TargetEvent::TargetCreated { .. }
                | TargetEvent::TargetConfigured { .. }
                | TargetEvent::RateLimitChanged { .. } => {}
            },
        }
    }

    fn begin(&mut self, holder: Holder, hold: Hold) {
        self.now.push((holder, hold));
    }

    fn end(&mut self, holder: Holder, until: DateTime<Utc>) {
        let ended = self.now.extract_if(.., |(which, _)| *which == holder);
        self.over.extend(ended.map(|(holder, hold)| Over { holder, hold, until }));
    }
}

impl Hold {
    /// Who did it, and why: to stand behind what was done.
    pub fn words(&self) -> String {
        format!(" by {}: {}", self.by, said(&self.reason))
    }
}
