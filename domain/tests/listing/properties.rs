//! Random histories of commands. After each step: a simple model agrees, and what is promised about jobs still holds.

use std::collections::{BTreeMap, BTreeSet};

use domain::hash::IdempotencyKey;
use domain::listing::{Cause, ChannelListing, LinkState, ListingCommand, ListingEvent, SyncRequest};
use domain::outcome::OutcomeClass;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fixture::{OF_ORDINAL, Story, accepted, at, change, link, manual, report, sections, unlink, wish};

#[derive(Debug, Clone)]
enum Step {
    Link {
        known: bool,
    },
    Unlink,
    Pause,
    Resume,
    Changed {
        revision: u64,
        content: &'static str,
    },
    Linked {
        revision: u64,
        content: &'static str,
    },
    Manual {
        revision: u64,
        content: &'static str,
    },
    Create,
    /// An attempt at the job so many ordinals before the last; the sections of `content` got through if it succeeded.
    Ended {
        back: u64,
        class: Option<OutcomeClass>,
        content: &'static str,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let content = || select(vec!["a", "b", "c"]);
    let class = select(vec![
        None,
        Some(OutcomeClass::Accepted),
        Some(OutcomeClass::AcceptedWithRejections),
        Some(OutcomeClass::Transient),
        Some(OutcomeClass::Throttled),
        Some(OutcomeClass::Unauthorised),
        Some(OutcomeClass::Rejected),
        Some(OutcomeClass::Unknown),
    ]);
    prop_oneof![
        2 => any::<bool>().prop_map(|known| Step::Link { known }),
        1 => Just(Step::Unlink),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        8 => (1_u64..12, content()).prop_map(|(revision, content)| Step::Changed { revision, content }),
        1 => (1_u64..12, content()).prop_map(|(revision, content)| Step::Linked { revision, content }),
        2 => (1_u64..12, content()).prop_map(|(revision, content)| Step::Manual { revision, content }),
        2 => Just(Step::Create),
        8 => (0_u64..4, class, content()).prop_map(|(back, class, content)| Step::Ended { back, class, content }),
    ]
}

/// What is promised, kept by hand from the events alone.
#[derive(Debug, Default)]
struct Model {
    state: Option<LinkState>,
    last_ordinal: u64,
    /// The highest ordinal that an event ended.
    ended: u64,
    waiting: Option<u64>,
    /// Ordinals that ended by an attempt of their own.
    ended_by_attempt: BTreeSet<u64>,
    burned: BTreeMap<u64, u32>,
    keys: BTreeSet<IdempotencyKey>,
    newest_revision: u64,
    created: bool,
}

impl Model {
    fn see(&mut self, event: &ListingEvent) {
        match event {
            ListingEvent::ListingLinked { external_id, .. } => {
                assert!(external_id.is_some() || !self.created, "a listing at the channel is never forgotten");
                (self.state, self.newest_revision) = (Some(LinkState::Active), 0);
                self.created = external_id.is_some();
            }
            ListingEvent::SyncRequested { request, .. } => {
                self.job(request);
                self.waiting = Some(request.ordinal);
            }
            ListingEvent::SyncSkipped { request } => {
                self.job(request);
                assert_eq!((self.waiting, request.needs.len()), (None, 0));
                self.ended = request.ordinal;
            }
            ListingEvent::CreationStarted { .. } => assert!(!self.created, "what exists is not created"),
            ListingEvent::SyncAccepted { attempt } => {
                self.created |= attempt.progress.external_id.is_some();
                self.end(attempt.ordinal);
            }
            ListingEvent::SyncFoundUnchanged { attempt } | ListingEvent::SyncFailed { attempt, .. } => {
                self.end(attempt.ordinal);
            }
            ListingEvent::SupersededSyncFailed { attempt, .. } => {
                assert!(self.waiting > Some(attempt.ordinal));
                self.end(attempt.ordinal);
            }
            ListingEvent::SyncDeferred { attempt, class, .. } => {
                assert_eq!(self.waiting, Some(attempt.ordinal), "only the job that waits is tried again");
                let burned = self.burned.entry(attempt.ordinal).or_default();
                *burned += u32::from(class.burns_attempt());
                assert_eq!(*burned, attempt.attempt);
                assert!(*burned < 5);
            }
            ListingEvent::LateAttemptRecorded { attempt, .. } => {
                assert!(attempt.ordinal <= self.ended);
                self.created |= attempt.progress.external_id.is_some();
            }
            ListingEvent::ListingPaused { .. } => self.state = Some(LinkState::Paused),
            ListingEvent::ListingResumed {} => self.state = Some(LinkState::Active),
            ListingEvent::ListingUnlinked { cancels, .. } => {
                assert_eq!(cancels.is_some(), self.waiting.is_some());
                (self.state, self.waiting, self.ended) = (Some(LinkState::Unlinked), None, self.last_ordinal);
            }
        }
    }

    fn job(&mut self, request: &SyncRequest) {
        assert_eq!(request.ordinal, self.last_ordinal + 1, "ordinals are dense");
        self.last_ordinal = request.ordinal;
        assert!(self.keys.insert(request.idempotency_key), "no two jobs have one key");
        if matches!(request.cause, Cause::UnitChanged | Cause::Linked) {
            assert!(request.revision > self.newest_revision, "a revision is taken once and never after a newer one");
        }
        self.newest_revision = self.newest_revision.max(request.revision);
    }

    fn end(&mut self, ordinal: u64) {
        assert!(ordinal > self.ended, "what has ended does not end again");
        assert!(self.ended_by_attempt.insert(ordinal));
        self.ended = ordinal;
        if self.waiting == Some(ordinal) {
            self.waiting = None;
        }
    }

    fn agrees(&self, listing: &ChannelListing) {
        assert_eq!(listing.state(), self.state);
        assert_eq!(listing.pending().map(|pending| pending.ordinal), self.waiting);
        assert_eq!(listing.last_revision(), self.newest_revision);
        assert_eq!(listing.external_id().is_some(), self.created);
    }
}

fn command(step: &Step, number: u64, last_ordinal: u64) -> ListingCommand {
    match step {
        Step::Link { known } => link(known.then_some("50002")),
        Step::Unlink => unlink(),
        Step::Pause => ListingCommand::Pause { reason: "works".to_owned() },
        Step::Resume => ListingCommand::Resume,
        Step::Changed { revision, content } => change(*revision, content),
        Step::Linked { revision, content } => ListingCommand::RequestSync(wish(Cause::Linked, *revision, content)),
        Step::Manual { revision, content } => manual(u128::from(number), *revision, content),
        Step::Create => ListingCommand::StartCreation {
            sync_id: OF_ORDINAL,
            ordinal: last_ordinal,
            at: at(i64::try_from(number).expect("a few steps")),
            began_at: at(i64::try_from(number).expect("a few steps")),
            replaces: None,
        },
        Step::Ended { back, class, content } => {
            let ordinal = last_ordinal.saturating_sub(*back);
            let told = report(ordinal, *class);
            let succeeded = class.is_some_and(OutcomeClass::succeeded);
            let progress = accepted(ordinal, content).progress;
            ListingCommand::RecordOutcome(if succeeded {
                domain::listing::SyncReport { progress, ..told }
            } else {
                told
            })
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_promises(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut story, mut model) = (Story::default(), Model::default());
        for (number, step) in (0_u64..).zip(&steps) {
            let command = command(step, number, model.last_ordinal);
            prop_assert_eq!(story.listing.decide(command.clone()), story.listing.decide(command.clone()));
            let before = story.listing.clone();
            match story.run(command) {
                Ok(events) => events.iter().for_each(|event| model.see(event)),
                Err(_) => prop_assert_eq!(&story.listing, &before),
            }
            model.agrees(&story.listing);
        }
        let mut replayed = ChannelListing::default();
        for event in story.events {
            let stored = serde_json::to_value(&event).expect("an event is JSON");
            replayed.evolve(serde_json::from_value(stored).expect("a stored event is read"));
        }
        prop_assert_eq!(&replayed, &story.listing, "the events tell the whole state");
        let kept = serde_json::to_value(&story.listing).expect("a state is JSON");
        let read: ChannelListing = serde_json::from_value(kept).expect("a kept state is read");
        prop_assert_eq!(&read, &story.listing);
    }

    /// What is sent until nothing differs any more is exactly the last content, whatever came before.
    #[test]
    fn sending_until_nothing_waits_leaves_the_last_content(
        steps in proptest::collection::vec(step(), 1..40),
        content in select(vec!["a", "b", "c"]),
    ) {
        let (mut story, mut last_ordinal) = (Story::default(), 0);
        for (number, step) in (0_u64..).zip(&steps) {
            let events = story.run(command(step, number, last_ordinal)).unwrap_or_default();
            last_ordinal += events.iter().filter(|event| asks(event)).count() as u64;
        }
        if !matches!(story.listing.state(), Some(LinkState::Active | LinkState::Paused)) {
            story.must(link(None));
        }
        story.run(change(1_000, content)).expect("a newer revision is taken");
        if let Some(pending) = story.listing.pending().cloned() {
            let mut told = accepted(pending.ordinal, content);
            told.progress.sections.retain(|section, _| story.listing.needs().contains(section));
            story.must(ListingCommand::RecordOutcome(told));
        }
        prop_assert_eq!(story.listing.pending(), None);
        prop_assert_eq!(&story.listing.accepted().sections, &sections(content));
    }
}

fn asks(event: &ListingEvent) -> bool {
    matches!(event, ListingEvent::SyncRequested { .. } | ListingEvent::SyncSkipped { .. })
}
