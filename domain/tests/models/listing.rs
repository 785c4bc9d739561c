//! `ChannelListing` does what its model does, whatever calls, crashes and leases do; and whoever is told that the
//! channel has the newest content can rely on it.

use chrono::{DateTime, TimeDelta, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::channel::{Section, SectionHashes};
use domain::hash::{PayloadHash, SnapshotHash};
use domain::ids::{ExternalId, OrgId, SyncId, TargetId, UnitId};
use domain::listing::{
    Cause, ChannelListing, LinkListing, LinkState, ListingCommand, ListingError, ListingEvent, Origin, Progress,
    RequestSync, SyncReport,
};
use domain::outcome::OutcomeClass;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use uuid::Uuid;

use crate::listing_channel::{Content, NONE};
use crate::listing_model::{Answer, Ask, Model, Place, Why};
use crate::listing_worker::{Fate, Worker};

fn content() -> impl Strategy<Value = Content> {
    let section = || 1_u8..3;
    (section(), section(), section(), 0_u8..3).prop_map(|(a, b, c, d)| [a, b, c, d])
}

fn fate(bad_day: bool) -> impl Strategy<Value = Fate> {
    let (good, bad) = if bad_day { (2, 6) } else { (8, 2) };
    prop_oneof![
        good => Just(Fate::Taken),
        bad => any::<bool>().prop_map(|applied| Fate::Lost { applied }),
        2 => any::<bool>().prop_map(|applied| Fate::Fault { applied }),
        1 => Just(Fate::Throttled),
        1 => Just(Fate::Denied),
        2 => any::<bool>().prop_map(|partly| Fate::Refused { partly }),
    ]
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Ask;

    fn init_state() -> BoxedStrategy<Self> {
        any::<bool>().prop_map(Self::new).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Ask> {
        let linked = state.place().is_some_and(|place| place != Place::Unlinked);
        let link = any::<(bool, bool)>().prop_map(|(known, afresh)| Ask::Link { known, afresh });
        let why = prop_oneof![8 => Just(Why::Changed), 1 => select(vec![Why::Linked, Why::Manual, Why::Replayed])];
        let revision = prop_oneof![6 => Just(state.newest + 1), 1 => 0..state.newest + 3];
        let sync = (why, revision, content(), proptest::bool::weighted(0.03))
            .prop_map(|(why, revision, content, foreign)| Ask::Sync { why, revision, content, foreign });
        let mut ways: Vec<(u32, BoxedStrategy<Ask>)> = vec![
            (if linked { 1 } else { 30 }, link.boxed()),
            (if state.bad_day && state.waiting.is_some() { 2 } else { 12 }, sync.boxed()),
            (1, select(vec![Ask::Pause, Ask::Unlink]).boxed()),
            (if state.place() == Some(Place::Paused) { 9 } else { 1 }, Just(Ask::Resume).boxed()),
            (4, (1_i64..40).prop_map(Ask::Wait).boxed()),
        ];
        if state.can(&Ask::Begin) {
            ways.push((if state.workers.is_empty() { 16 } else { 2 }, Just(Ask::Begin).boxed()));
        }
        if state.can(&Ask::Arrive) {
            ways.push((4, Just(Ask::Arrive).boxed()));
        }
        for at in 0..state.workers.len() {
            if state.can(&Ask::Call(at, Fate::Taken)) {
                ways.push((16, fate(state.bad_day).prop_map(move |fate| Ask::Call(at, fate)).boxed()));
            }
            if state.can(&Ask::Tell(at)) {
                ways.push((12, Just(Ask::Tell(at)).boxed()));
            }
            if state.can(&Ask::Vanish(at)) {
                ways.push((2, Just(Ask::Vanish(at)).boxed()));
            }
        }
        proptest::strategy::Union::new_weighted(ways).boxed()
    }

    fn preconditions(state: &Self, ask: &Ask) -> bool {
        state.can(ask)
    }

    fn apply(mut state: Self, ask: &Ask) -> Self {
        state.happen(ask);
        state
    }
}

/// The aggregate with everything that happened to it.
#[derive(Debug, Default)]
struct Subject {
    listing: ChannelListing,
    events: Vec<ListingEvent>,
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time") + TimeDelta::seconds(second)
}

fn hashes(content: Content, has: impl Fn(usize) -> bool) -> SectionHashes {
    let hash = |(at, section): (usize, &Section)| {
        (*section, PayloadHash::of_parts(&[section.as_str(), &content[at].to_string()]))
    };
    Section::ALL.iter().enumerate().filter(|(at, _)| content[*at] != NONE && has(*at)).map(hash).collect()
}

fn whole(content: Content) -> SectionHashes {
    hashes(content, |_| true)
}

fn external(id: u32) -> ExternalId {
    ExternalId(id.to_string())
}

fn unit() -> UnitId {
    "villa-0042".parse().expect("a name")
}

fn org(foreign: bool) -> OrgId {
    if foreign { "other" } else { "sunstay" }.parse().expect("a name")
}

fn wish(why: Why, revision: u64, content: Content, foreign: bool, number: u128) -> ListingCommand {
    let (reason, request_id) = ("a reason".to_owned(), Uuid::from_u128(number));
    let cause = match why {
        Why::Changed => Cause::UnitChanged,
        Why::Linked => Cause::Linked,
        Why::Manual => Cause::Manual { reason, request_id },
        Why::Replayed => Cause::Replayed { reason, request_id },
    };
    ListingCommand::RequestSync(RequestSync {
        cause,
        snapshot_org: org(foreign),
        snapshot_account: "bali".parse().expect("a name"),
        snapshot_unit: unit(),
        snapshot: SnapshotHash::of_bytes(&content),
        revision,
        sections: whole(content),
        rejected: Vec::new(),
        origin: Origin { correlation_id: Uuid::from_u128(9), requested_by: "ops".to_owned(), traceparent: None },
    })
}

fn report(worker: &Worker, sync_id: SyncId) -> ListingCommand {
    let started_at = at(worker.began) + TimeDelta::microseconds(i64::from(worker.number));
    let call = |(purpose, class, began): &(CallPurpose, OutcomeClass, i64)| CallRecord {
        request_id: Uuid::from_u128(1),
        purpose: *purpose,
        method: "PUT".to_owned(),
        path: "/v1/listings/1".to_owned(),
        started_at: at(*began),
        duration_ms: 80,
        status: None,
        class: *class,
        detail: None,
        answer: None,
    };
    ListingCommand::RecordOutcome(SyncReport {
        sync_id,
        ordinal: worker.ordinal,
        takes_over: worker.takes_over,
        silent: None,
        started_at,
        finished_at: started_at,
        class: worker.class,
        detail: None,
        progress: Progress {
            external_id: worker.learned.map(external),
            sections: hashes(worker.content, |section| worker.got[section]),
            ..Progress::default()
        },
        rejected: Vec::new(),
        calls: worker.calls.iter().map(call).collect(),
        hopeless: false,
        retry_at: at(worker.began + 60),
        max_attempts: 5,
    })
}

fn name(refusal: &ListingError) -> &'static str {
    match refusal {
        ListingError::AlreadyLinked => "AlreadyLinked",
        ListingError::NotFound => "NotFound",
        ListingError::Unlinked => "Unlinked",
        ListingError::AlreadyPaused => "AlreadyPaused",
        ListingError::NotPaused => "NotPaused",
        ListingError::ForeignSnapshot { .. } => "ForeignSnapshot",
        ListingError::UnitElsewhere => "UnitElsewhere",
        ListingError::DuplicateRevision(_) => "DuplicateRevision",
        ListingError::StaleRevision { .. } => "StaleRevision",
        ListingError::NotPending(_) => "NotPending",
        ListingError::AlreadyCreated => "AlreadyCreated",
        ListingError::Unproved(_) => "Unproved",
        ListingError::CreationUnderWay { .. } => "CreationUnderWay",
    }
}

impl Subject {
    /// The job that a worker of this ordinal has read.
    fn job(&self, ordinal: u64) -> SyncId {
        let of_ordinal = |event: &ListingEvent| match event {
            ListingEvent::SyncRequested { request, .. } if request.ordinal == ordinal => Some(request.sync_id),
            _ => None,
        };
        self.events.iter().find_map(of_ordinal).expect("it was asked for")
    }

    /// The command that this is, if it is one.
    fn command(&self, ask: &Ask, model: &Model) -> Option<ListingCommand> {
        let acted = model.acted.as_ref();
        match ask {
            Ask::Link { known, afresh } => Some(ListingCommand::Link(LinkListing {
                org_id: org(false),
                account_id: "bali".parse().expect("a name"),
                unit_id: unit(),
                target_id: TargetId(Uuid::from_u128(7)),
                unit_account_id: None,
                external_id: known.then(|| external(crate::listing_model::KNOWN)),
                afresh: *afresh,
            })),
            Ask::Sync { why, revision, content, foreign } => {
                Some(wish(*why, *revision, *content, *foreign, self.events.len() as u128))
            }
            Ask::Pause => Some(ListingCommand::Pause { reason: "works".to_owned() }),
            Ask::Resume => Some(ListingCommand::Resume),
            Ask::Unlink => Some(ListingCommand::Unlink { reason: "sold".to_owned() }),
            Ask::Call(..) => acted.map(|worker| ListingCommand::StartCreation {
                sync_id: self.job(worker.ordinal),
                ordinal: worker.ordinal,
                at: at(model.now),
                began_at: at(worker.began),
                replaces: None,
            }),
            Ask::Tell(_) => acted.map(|worker| report(worker, self.job(worker.ordinal))),
            Ask::Begin | Ask::Vanish(_) | Ask::Arrive | Ask::Wait(_) => None,
        }
    }

    fn run(&mut self, command: ListingCommand) -> Answer {
        let decided = self.listing.decide(command.clone());
        assert_eq!(decided, self.listing.decide(command), "the same again");
        match decided {
            Ok(events) => {
                let names = events.iter().map(ListingEvent::type_name).collect();
                events.iter().cloned().for_each(|event| self.listing.evolve(event));
                self.events.extend(events);
                Answer::Events(names)
            }
            Err(refusal) => Answer::Refused(name(&refusal)),
        }
    }
}

impl StateMachineTest for Subject {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        Self::default()
    }

    fn apply(mut subject: Self, model: &Model, ask: Ask) -> Self {
        if let (Ask::Begin, Some(worker)) = (&ask, &model.acted) {
            let needs = subject.listing.to_send(&whole(worker.content));
            let wanted = Section::ALL.into_iter().enumerate().filter(|(at, _)| worker.needs[*at]);
            if !worker.takes_over {
                assert_eq!(needs, wanted.map(|(_, section)| section).collect::<Vec<_>>());
            }
        }
        let answer = subject.command(&ask, model).map(|command| subject.run(command));
        assert_eq!(answer, model.answer, "{ask:?}");
        subject
    }

    fn check_invariants(subject: &Self, model: &Model) {
        let listing = &subject.listing;
        let place = listing.state().map(|state| match state {
            LinkState::Active => Place::Active,
            LinkState::Paused => Place::Paused,
            LinkState::Unlinked => Place::Unlinked,
        });
        assert_eq!(place, model.place());
        assert_eq!(listing.external_id(), model.id().map(external).as_ref());
        assert_eq!(listing.last_revision(), model.newest);
        let pending = listing.pending().map(|pending| (pending.ordinal, pending.attempts, pending.forced));
        assert_eq!(pending, model.waiting.as_ref().map(|job| (job.ordinal, job.burned, job.forced)));
        assert_eq!(listing.accepted().sections, whole(model.belief), "what the channel is believed to have");
        assert_eq!(listing.creation().map(|creation| creation.started_at), model.intent.map(at));
        assert_eq!(listing.is_contested(), model.is_contested());
        assert_eq!(listing.must_verify(), model.unsure || model.intent.is_some());
        assert!(model.channel.ours.len() <= 1, "a listing was created twice");
        if let Some((id, content)) = model.claim {
            assert!(model.channel.shows(id, content), "{content:?} is not at {id}: {:?}", model.channel);
        }
    }

    /// Whatever happened: once calls come through again, the newest content is at the channel.
    fn teardown(mut subject: Self, mut model: Model) {
        let mut go = |model: &mut Model, ask: Ask| {
            model.happen(&ask);
            subject = Self::apply(std::mem::take(&mut subject), model, ask);
            Self::check_invariants(&subject, model);
        };
        while !model.workers.is_empty() {
            let ask = if model.can(&Ask::Vanish(0)) { Ask::Vanish(0) } else { Ask::Tell(0) };
            go(&mut model, ask);
        }
        match model.place() {
            None | Some(Place::Unlinked) => go(&mut model, Ask::Link { known: false, afresh: false }),
            Some(Place::Paused) => go(&mut model, Ask::Resume),
            Some(Place::Active) => {}
        }
        go(&mut model, Ask::Wait(100));
        let (why, revision) = (Why::Changed, model.newest + 1);
        go(&mut model, Ask::Sync { why, revision, content: [1, 2, 1, 2], foreign: false });
        if model.waiting.is_some() {
            go(&mut model, Ask::Begin);
            while model.can(&Ask::Call(0, Fate::Taken)) {
                go(&mut model, Ask::Call(0, Fate::Taken));
            }
            go(&mut model, Ask::Tell(0));
        }
        let healed = model.waiting.is_none() && model.claim.is_some() && !model.is_contested();
        assert!(healed, "it heals: {model:?}");
        let mut replayed = ChannelListing::default();
        for event in &subject.events {
            let stored = serde_json::to_value(event).expect("an event is JSON");
            replayed.evolve(serde_json::from_value(stored).expect("a stored event is read"));
        }
        assert_eq!(replayed, subject.listing, "the events tell the whole state");
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 2_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_listing_does_what_its_model_does_and_the_channel_has_what_is_claimed(sequential 1..80 => Subject);
}
