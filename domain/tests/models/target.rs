//! `ChannelTarget` does what its model does, and its events alone tell its whole state.

use domain::channel::ChannelKind;
use domain::ids::TargetId;
use domain::target::{ChannelTarget, Configuration, Lifecycle, NewTarget, TargetCommand, TargetError, TargetEvent};
use domain::window::RateLimit;
use proptest::prelude::ProptestConfig;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use uuid::Uuid;

use crate::target_model::{Answer, Ask, Model, Target};

/// The aggregate with everything that happened to it.
#[derive(Debug, Default)]
struct Subject {
    target: ChannelTarget,
    events: Vec<TargetEvent>,
}

fn limit(text: &str) -> RateLimit {
    text.parse().expect("a limit")
}

fn command(ask: Ask) -> TargetCommand {
    let reason = || "a reason".to_owned();
    match ask {
        Ask::Create { name: (name, _), root: (root, _), account: (account, _) } => TargetCommand::Create(NewTarget {
            target_id: TargetId(Uuid::from_u128(1)),
            org_id: "sunstay".parse().expect("a name"),
            account_id: "bali".parse().expect("a name"),
            name: name.to_owned(),
            channel: ChannelKind::Hostaway,
            base_url: root.to_owned(),
            channel_account: account.to_owned(),
            credential: "env:ONE".parse().expect("a reference"),
            rate_limit: limit("12/10s"),
            account_rate_limit: None,
        }),
        Ask::Configure { name, root, account_limit, limit: own } => TargetCommand::Configure(Configuration {
            name: name.map(|(name, _)| name.to_owned()),
            base_url: root.map(|(root, _)| root.to_owned()),
            account_rate_limit: account_limit.map(|account| account.map(limit)),
            rate_limit: own.map(limit),
        }),
        Ask::Rotate(credential) => {
            TargetCommand::RotateCredential { credential: credential.parse().expect("a reference") }
        }
        Ask::Pause => TargetCommand::Pause { reason: reason() },
        Ask::Resume => TargetCommand::Resume,
        Ask::Delete => TargetCommand::Delete { reason: reason() },
        Ask::Saw(health, credential_epoch) => {
            TargetCommand::ReportHealth { health, reason: reason(), credential_epoch }
        }
    }
}

fn name(refusal: &TargetError) -> &'static str {
    match refusal {
        TargetError::AlreadyExists => "AlreadyExists",
        TargetError::NotFound => "NotFound",
        TargetError::Deleted => "Deleted",
        TargetError::AlreadyDeleted => "AlreadyDeleted",
        TargetError::AlreadyPaused => "AlreadyPaused",
        TargetError::NotPaused => "NotPaused",
        TargetError::Field { field, .. } => field,
    }
}

fn same(target: &domain::target::Target, model: &Target) {
    assert_eq!((target.name.as_str(), target.base_url.as_str()), (model.name, model.root));
    assert_eq!(target.channel_account, model.account);
    assert_eq!((target.rate_limit, target.account_rate_limit), (limit(model.limit), model.account_limit.map(limit)));
    assert_eq!((target.credential.as_str(), target.credential_epoch), (model.credential, model.epoch));
    let lifecycle = match (model.deleted, model.paused) {
        (true, _) => Lifecycle::Deleted,
        (_, true) => Lifecycle::Paused,
        _ => Lifecycle::Active,
    };
    assert_eq!((target.lifecycle, target.health), (lifecycle, model.health));
}

impl StateMachineTest for Subject {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        Self::default()
    }

    fn apply(mut subject: Self, model: &<Model as ReferenceStateMachine>::State, ask: Ask) -> Self {
        let command = command(ask);
        let decided = subject.target.decide(command.clone());
        assert_eq!(decided, subject.target.decide(command), "the same again");
        let answer = match decided {
            Ok(events) => {
                let names = events.iter().map(TargetEvent::type_name).collect();
                events.iter().cloned().for_each(|event| subject.target.evolve(event));
                subject.events.extend(events);
                Answer::Events(names)
            }
            Err(refusal) => Answer::Refused(name(&refusal)),
        };
        assert_eq!(answer, model.answer);
        subject
    }

    fn check_invariants(subject: &Self, model: &Model) {
        match (subject.target.target(), &model.target) {
            (Some(target), Some(model)) => same(target, model),
            (have, want) => assert!(have.is_none() && want.is_none(), "{have:?} where the model has {want:?}"),
        }
    }

    fn teardown(subject: Self, _: Model) {
        let mut replayed = ChannelTarget::default();
        for event in &subject.events {
            let stored = serde_json::to_value(event).expect("an event is JSON");
            replayed.evolve(serde_json::from_value(stored).expect("a stored event is read"));
        }
        assert_eq!(replayed, subject.target, "the events tell the whole state");
        let kept = serde_json::to_value(&subject.target).expect("a state is JSON");
        assert_eq!(serde_json::from_value::<ChannelTarget>(kept).expect("a kept state is read"), subject.target);
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_target_does_what_its_model_does(sequential 1..60 => Subject);
}
