//! The rules of `ChannelTarget`: given events, when a command, then events or a refusal.

use domain::channel::ChannelKind;
use domain::ids::TargetId;
use domain::secret::{SecretKeeper, SecretRef};
use domain::target::bounds::is_same_host;
use domain::target::{
    ChannelTarget, Configuration, Health, Lifecycle, NewTarget, TargetCommand, TargetError, TargetEvent,
};
use domain::window::{InvalidLimit, RateLimit};
use uuid::Uuid;

fn new() -> NewTarget {
    NewTarget {
        target_id: TargetId(Uuid::from_u128(1)),
        org_id: "sunstay".parse().expect("a name"),
        account_id: "bali".parse().expect("a name"),
        name: "Hostaway Bali".to_owned(),
        channel: ChannelKind::Hostaway,
        base_url: "https://api.hostaway.com/v1".to_owned(),
        channel_account: "10450".to_owned(),
        credential: "file:hostaway-10450".parse().expect("a reference"),
        rate_limit: RateLimit::default(),
        account_rate_limit: None,
    }
}

fn limit(text: &str) -> RateLimit {
    text.parse().expect("a limit")
}

fn pause() -> TargetCommand {
    TargetCommand::Pause { reason: "works".to_owned() }
}

fn health(health: Health) -> TargetCommand {
    seen(health, 0)
}

fn seen(health: Health, credential_epoch: u32) -> TargetCommand {
    TargetCommand::ReportHealth { health, reason: "seen".to_owned(), credential_epoch }
}

fn configure(change: Configuration) -> TargetCommand {
    TargetCommand::Configure(change)
}

/// Runs a command that is taken; gives the names of its events.
fn run(target: &mut ChannelTarget, command: TargetCommand) -> Vec<&'static str> {
    let what = format!("{command:?}");
    let events = target.decide(command).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
    events.iter().cloned().for_each(|event| target.evolve(event));
    events.iter().map(TargetEvent::type_name).collect()
}

fn created() -> ChannelTarget {
    let mut target = ChannelTarget::default();
    assert_eq!(run(&mut target, TargetCommand::Create(new())), ["TargetCreated"]);
    target
}

fn refused(target: &ChannelTarget, command: TargetCommand) -> TargetError {
    target.decide(command).expect_err("the command is refused")
}

/// The field that a refusal names.
fn field(refusal: TargetError) -> &'static str {
    match refusal {
        TargetError::Field { field, .. } => field,
        other => panic!("{other:?} names no field"),
    }
}

/// A snapshot that lacks the field would be read as a target that never was.
#[test]
fn a_snapshot_of_a_target_has_the_field_that_it_always_had() {
    let target = created();
    let snapshot = serde_json::to_value(&target).expect("a state is JSON");
    assert_eq!(snapshot["settings"]["name"], "Hostaway Bali");
    assert_eq!(serde_json::from_value::<ChannelTarget>(snapshot).expect("it is read"), target);
}

#[test]
fn a_new_target_sends_and_its_health_is_unknown() {
    let target = created();
    let live = target.live().expect("it lives");
    assert_eq!((live.lifecycle, live.health), (Lifecycle::Active, Health::Unknown));
    assert_eq!(live.rate_limit, limit("12/10s"), "the product's rule is the default");
    assert_eq!(refused(&target, TargetCommand::Create(new())), TargetError::AlreadyExists);
}

#[test]
fn every_bad_field_is_named() {
    let field_of = |change: fn(&mut NewTarget)| {
        let mut bad = new();
        change(&mut bad);
        field(refused(&ChannelTarget::default(), TargetCommand::Create(bad)))
    };
    assert_eq!(field_of(|new| new.name = "  ".to_owned()), "name");
    assert_eq!(field_of(|new| new.name = "x".repeat(121)), "name");
    assert_eq!(field_of(|new| new.name = "Bali\u{202e}ilaB".to_owned()), "name");
    assert_eq!(field_of(|new| new.base_url = "https://host/\u{200b}v1".to_owned()), "base_url");
    for url in ["", "ftp://host", "https://", "https:///v1", "https://user@host", "https://host/?q=1", "https://host#f"]
    {
        let bad = NewTarget { base_url: url.to_owned(), ..new() };
        assert_eq!(field(refused(&ChannelTarget::default(), TargetCommand::Create(bad))), "base_url", "{url}");
    }
    assert_eq!(field_of(|new| new.channel_account = String::new()), "channel_account");
    assert_eq!(field_of(|new| new.channel_account = "10450/../1".to_owned()), "channel_account");
}

/// An account has one window, however it is written.
#[test]
fn whatever_leads_to_one_account_is_one_scope() {
    let scope = |base_url: &str, account: &str| {
        let new = NewTarget { base_url: base_url.to_owned(), channel_account: account.to_owned(), ..new() };
        let mut target = ChannelTarget::default();
        run(&mut target, TargetCommand::Create(new));
        target.live().expect("it lives").account_scope()
    };
    let plain = scope("https://api.hostaway.com/v1", "10450");
    for url in [
        "https://api.hostaway.com/v1/",
        "https://API.Hostaway.com/v1",
        "HTTPS://API.hostaway.com/v1",
        "https://api.hostaway.com:443/v1",
    ] {
        assert_eq!(scope(url, "10450"), plain, "{url}");
    }
    // What one server may read as another text, and another one not.
    for url in [
        "https://api.hostaway.com./v1",
        "https://api.hostaway.com.:443/v1",
        "https://api.hostaway.com//v1",
        "https://api.hostaway.com/v1//",
        "https://api.hostaway.com/%761",
        "https://api.hostaway.com/v2/%2e%2e/v1",
        "https://api.hostaway.com/./v1",
        "https://api.hostaway.com/v2/../v1",
        "https://api.hostaway.com/v1/../../x",
        "https://api..hostaway.com/v1",
        "https://.api.hostaway.com/v1",
        "https://api\u{3002}\u{3002}hostaway.com/v1",
        "https://api.hostaway%2ecom/v1",
        "https://api.hostaway.com/ü",
    ] {
        let other = NewTarget { base_url: url.to_owned(), ..new() };
        assert_eq!(field(refused(&ChannelTarget::default(), TargetCommand::Create(other))), "base_url", "{url}");
    }
    assert_eq!(scope("https://api.hostaway.com/v1", "0010450"), plain);
    assert_ne!(scope("https://api.hostaway.com:8443/v1", "10450"), plain);
    assert_ne!(scope("https://api.hostaway.com/v1", "104500"), plain);
    assert_ne!(scope("https://api.hostaway.com/v1", "00"), scope("https://api.hostaway.com/v1", "1"));
    // As long as it is written in ASCII, or no index has room for it.
    let long = NewTarget { base_url: format!("https://{}hostaway.com/v1", "語.".repeat(600)), ..new() };
    assert_eq!(field(refused(&ChannelTarget::default(), TargetCommand::Create(long))), "base_url");
}

#[test]
fn limits_that_make_no_sense_cannot_even_be_made() {
    assert_eq!(RateLimit::new(0, 10_000), Err(InvalidLimit::Requests(0)));
    assert_eq!(RateLimit::new(10_001, 10_000), Err(InvalidLimit::Requests(10_001)));
    assert_eq!(RateLimit::new(12, 99), Err(InvalidLimit::Window(99)));
    assert_eq!(RateLimit::new(12, 3_600_001), Err(InvalidLimit::Window(3_600_001)));
    for text in ["", "12", "12/", "x/10s", "-1/10s", "12/10m", "12/99999999999s"] {
        assert!(matches!(text.parse::<RateLimit>(), Err(InvalidLimit::Text(_))), "{text}");
    }
    for text in ["12/10s", "1/100ms", "10000/3600s"] {
        assert_eq!(limit(text).to_string(), text);
    }
    let stored = serde_json::json!({"requests": 0, "window_ms": 10_000});
    assert!(serde_json::from_value::<RateLimit>(stored).is_err(), "nor be read");
}

#[test]
fn a_secret_reference_is_no_secret() {
    let refused = ["hunter2", "file:", "file:.hidden", "file:../../etc/passwd", "vault:x", "env:A B", "store:.key"];
    for text in refused.into_iter().chain(["store:a/b", "file:a/b", "aws:/a", "aws:"]) {
        assert!(text.parse::<SecretRef>().is_err(), "{text}");
    }
    for (text, keeper, name) in [
        ("env:HOSTAWAY_10450", SecretKeeper::Env, "HOSTAWAY_10450"),
        ("file:hostaway.bali", SecretKeeper::File, "hostaway.bali"),
        ("store:hostaway-bali", SecretKeeper::Store, "hostaway-bali"),
        ("aws:prod/hostaway+bali@2", SecretKeeper::Aws, "prod/hostaway+bali@2"),
    ] {
        let secret = text.parse::<SecretRef>().expect("a reference");
        assert_eq!((secret.as_str(), secret.keeper(), secret.name()), (text, keeper, name));
    }
}

#[test]
fn settings_change_one_by_one_and_no_change_is_no_event() {
    let mut target = created();
    assert!(run(&mut target, configure(Configuration::default())).is_empty());
    let renamed = Configuration { name: Some("Bali".to_owned()), ..Configuration::default() };
    assert_eq!(run(&mut target, configure(renamed.clone())), ["TargetConfigured"]);
    assert!(run(&mut target, configure(renamed)).is_empty());
    let shared = Configuration { account_rate_limit: Some(Some(limit("20/10s"))), ..Configuration::default() };
    run(&mut target, configure(shared));
    let moved = Configuration { base_url: Some("https://other.example/v1/".to_owned()), ..Configuration::default() };
    run(&mut target, configure(moved));
    let live = target.live().expect("it lives").clone();
    assert_eq!((live.name.as_str(), live.base_url.as_str()), ("Bali", "https://other.example/v1"));
    assert_eq!(live.account_rate_limit, Some(limit("20/10s")), "what is not named is kept");
    let lifted = Configuration { account_rate_limit: Some(None), ..Configuration::default() };
    run(&mut target, configure(lifted));
    assert_eq!(target.live().expect("it lives").account_rate_limit, None);
    let bad = Configuration { base_url: Some("host".to_owned()), ..Configuration::default() };
    assert_eq!(field(refused(&target, configure(bad))), "base_url");
    let bad = Configuration { name: Some(String::new()), ..Configuration::default() };
    assert_eq!(field(refused(&target, configure(bad))), "name");
}

#[test]
fn the_limit_and_the_credential_change() {
    let mut target = created();
    let to = |rate_limit| {
        TargetCommand::Configure(Configuration { rate_limit: Some(rate_limit), ..Configuration::default() })
    };
    assert!(run(&mut target, to(limit("12/10s"))).is_empty());
    assert_eq!(run(&mut target, to(limit("30/10s"))), ["RateLimitChanged"]);
    assert_eq!(target.live().expect("it lives").rate_limit, limit("30/10s"));
    run(&mut target, health(Health::Unauthorised));
    // The same reference too: the value behind it is new.
    let rotate = TargetCommand::RotateCredential { credential: "file:hostaway-10450".parse().expect("a reference") };
    assert_eq!(run(&mut target, rotate), ["CredentialRotated"]);
    assert_eq!(target.live().expect("it lives").health, Health::Unknown, "it sends again");
    assert!(run(&mut target, health(Health::Unauthorised)).is_empty(), "a call with the old value came back late");
    assert_eq!(run(&mut target, seen(Health::Unauthorised, 1)), ["HealthChanged"]);
}

#[test]
fn what_one_host_has_said_of_the_credentials_counts_for_nothing_at_another() {
    let mut target = created();
    let to = |url: &str| configure(Configuration { base_url: Some(url.to_owned()), ..Configuration::default() });
    let health_of = |target: &ChannelTarget| target.live().expect("it lives").health;
    run(&mut target, health(Health::Healthy));
    for same in ["https://api.hostaway.com/v2", "https://API.hostaway.com:443/v1"] {
        assert_eq!(run(&mut target, to(same)), ["TargetConfigured"], "{same}");
        assert_eq!(health_of(&target), Health::Healthy, "{same}");
    }
    for other in ["https://api.example/v1", "https://api.example:8443/v1", "http://api.example:8443/v1"] {
        let epoch = target.live().expect("it lives").credential_epoch;
        assert_eq!(run(&mut target, to(other)), ["HealthChanged", "TargetConfigured"], "{other}");
        assert_eq!(health_of(&target), Health::Unknown, "{other}");
        assert!(run(&mut target, seen(Health::Healthy, epoch)).is_empty(), "a call to the one before came back late");
        assert_eq!(run(&mut target, seen(Health::Healthy, epoch + 1)), ["HealthChanged"]);
    }
    // Who is refused there may be taken here. What had not been said yet says nothing either.
    run(&mut target, seen(Health::Unauthorised, 3));
    assert_eq!(run(&mut target, to("https://api.hostaway.com/v1")), ["HealthChanged", "TargetConfigured"]);
    assert_eq!((health_of(&target), target.live().expect("it lives").state()), (Health::Unknown, "active"));
    let epoch = target.live().expect("it lives").credential_epoch;
    assert_eq!(run(&mut target, to("https://api.example/v1")), ["TargetConfigured"]);
    assert!(run(&mut target, seen(Health::Unauthorised, epoch)).is_empty());
}

#[test]
fn a_dot_at_the_end_of_a_host_makes_no_other_one() {
    assert!(is_same_host("https://api.hostaway.com./v1", "https://api.hostaway.com/v1"));
    assert!(!is_same_host("https://api.hostaway.com/v1", "https://hostaway.com/v1"));
}

#[test]
fn pauses_and_resumes_go_in_turns() {
    let mut target = created();
    assert_eq!(refused(&target, TargetCommand::Resume), TargetError::NotPaused);
    assert_eq!(run(&mut target, pause()), ["TargetPaused"]);
    assert_eq!(refused(&target, pause()), TargetError::AlreadyPaused);
    assert_eq!(run(&mut target, TargetCommand::Resume), ["TargetResumed"]);
}

#[test]
fn a_resume_also_says_that_refused_credentials_are_good_again() {
    let mut target = created();
    let state = |target: &ChannelTarget| target.live().expect("it lives").state();
    run(&mut target, health(Health::Unauthorised));
    assert_eq!(state(&target), "needs_credentials", "active, and yet nothing is sent");
    assert_eq!(run(&mut target, TargetCommand::Resume), ["HealthChanged"]);
    assert_eq!(state(&target), "active");
    run(&mut target, seen(Health::Unauthorised, 1));
    run(&mut target, pause());
    assert_eq!(state(&target), "paused", "somebody holds it anyway");
    assert_eq!(run(&mut target, TargetCommand::Resume), ["TargetResumed", "HealthChanged"]);
    let live = target.live().expect("it lives");
    assert_eq!((live.lifecycle, live.health), (Lifecycle::Active, Health::Unknown));
}

#[test]
fn only_a_change_of_health_is_an_event() {
    let mut target = created();
    assert!(run(&mut target, health(Health::Unknown)).is_empty());
    assert_eq!(run(&mut target, health(Health::Healthy)), ["HealthChanged"]);
    assert!(run(&mut target, health(Health::Healthy)).is_empty());
    assert_eq!(run(&mut target, health(Health::Degraded)), ["HealthChanged"]);
}

#[test]
fn refused_credentials_are_lifted_by_a_success_and_by_no_other_failure() {
    let mut target = created();
    assert_eq!(run(&mut target, health(Health::Unauthorised)), ["HealthChanged"]);
    for other in [Health::Unauthorised, Health::Degraded, Health::Unreachable] {
        assert!(run(&mut target, health(other)).is_empty(), "{other:?}");
    }
    assert_eq!(target.live().expect("it lives").health, Health::Unauthorised);
    assert_eq!(run(&mut target, health(Health::Healthy)), ["HealthChanged"]);
    assert_eq!(run(&mut target, seen(Health::Degraded, 1)), ["HealthChanged"], "what works may fail");
}

#[test]
fn a_deleted_target_refuses_everything_and_keeps_its_settings() {
    let mut target = created();
    let delete = TargetCommand::Delete { reason: "sold".to_owned() };
    assert_eq!(run(&mut target, delete.clone()), ["TargetDeleted"]);
    let commands = [
        configure(Configuration::default()),
        TargetCommand::Configure(Configuration { rate_limit: Some(limit("1/1s")), ..Configuration::default() }),
        TargetCommand::RotateCredential { credential: "env:X".parse().expect("a reference") },
        pause(),
        TargetCommand::Resume,
        health(Health::Healthy),
    ];
    for command in commands {
        assert_eq!(refused(&target, command), TargetError::Deleted);
    }
    assert_eq!(refused(&target, delete), TargetError::AlreadyDeleted);
    assert_eq!(refused(&target, TargetCommand::Create(new())), TargetError::AlreadyExists, "its id is not given again");
    assert_eq!(target.target().map(|target| target.lifecycle), Some(Lifecycle::Deleted));
}

#[test]
fn nothing_can_be_asked_of_what_was_never_created() {
    let target = ChannelTarget::default();
    for command in [pause(), TargetCommand::Resume, health(Health::Healthy), configure(Configuration::default())] {
        assert_eq!(refused(&target, command), TargetError::NotFound);
    }
}

#[test]
fn targets_of_one_account_share_a_scope_and_each_has_its_own() {
    let of = |id: u128, account: &str| {
        let mut target = ChannelTarget::default();
        let new = NewTarget { target_id: TargetId(Uuid::from_u128(id)), channel_account: account.to_owned(), ..new() };
        run(&mut target, TargetCommand::Create(new));
        target.target().expect("it was created").clone()
    };
    let (one, two, other) = (of(1, "10450"), of(2, "10450"), of(3, "999"));
    assert_eq!(one.account_scope(), two.account_scope());
    assert_ne!(one.account_scope(), other.account_scope());
    assert_ne!(one.target_scope(), two.target_scope());
}
