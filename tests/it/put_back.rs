//! A journal that goes back to an earlier state under running processes: nobody decides on what is lost, and nobody has to be started
//! again.

use std::collections::BTreeSet;
use std::time::Duration;

use adapters::nats::topology::StreamKind;
use domain::ids::TargetId;
use domain::target::TargetCommand;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::postgres_server::PostgresServer;
use end_to_end::process::Process;
use end_to_end::proxy::{Line, Proxy, Upstream};
use end_to_end::server_tools::Tools;
use end_to_end::unit::{all_described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, ORG, World};
use serde_json::{Value, json};
use services::relay::event_id;
use tempfile::TempDir;
use uuid::Uuid;

use crate::relaying::{publish_again, reached};

/// From the failover to the last state at the channel: every window rests for 30 s and its length first.
const PATIENCE: Duration = Duration::from_secs(120);

/// A primary whose standby takes its address over, without the end of the journal.
struct Pair {
    primary: PostgresServer,
    standby: PostgresServer,
    line: Proxy,
    url: String,
    _folder: TempDir,
}

impl Pair {
    async fn start() -> anyhow::Result<Self> {
        let tools = Tools::find()?;
        let folder = tools.temporary_folder()?;
        let primary = PostgresServer::start(&tools, folder.path()).await?;
        let standby = primary.standby(folder.path()).await?;
        let line = Proxy::start(Upstream::Socket(primary.socket())).await?;
        let url = format!("postgres://postgres@127.0.0.1:{}/distribution", line.port);
        Ok(Self { primary, standby, line, url, _folder: folder })
    }

    async fn world(&self, account: u64) -> anyhow::Result<World> {
        let beginning = Beginning { database_url: Some(self.url.clone()), ..Beginning::default() };
        World::begin(beginning, &[account]).await
    }

    /// What comes after this is lost.
    async fn is_lost_from_now_on(&self) -> anyhow::Result<()> {
        self.primary.is_followed_by(&self.standby).await?;
        self.standby.cut_off().await
    }

    async fn fails_over(&mut self, world: &mut World) -> anyhow::Result<()> {
        self.line.set(Some(Line::Cut));
        self.primary.kill();
        self.standby.promote().await?;
        self.line.lead_to(Upstream::Socket(self.standby.socket()));
        self.line.set(None);
        world.move_to(&self.url).await
    }
}

/// Every event of the journal is on CHANNELS.
async fn all_is_published(world: &World) -> anyhow::Result<()> {
    wait_until("all of the journal is on CHANNELS", Duration::from_secs(30), || async {
        let ids: Vec<Uuid> = sqlx::query_scalar("SELECT event_id FROM events").fetch_all(&world.pool).await?;
        let messages = world.messages(StreamKind::Channels).await?;
        let published: BTreeSet<Uuid> = messages.iter().filter_map(|message| event_id(&message.headers)).collect();
        let missing = ids.iter().filter(|id| !published.contains(id)).count();
        Ok(if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are missing", ids.len())) })
    })
    .await
}

/// A failover to a standby that lacked the end of the journal, behind one address. Each process is of one role, and has the state of
/// before in its memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_goes_back_under_running_processes_needs_no_restart() -> anyhow::Result<()> {
    let mut pair = Pair::start().await?;
    let mut world = pair.world(8720).await?;
    let target = world.target(8720, RateLimit::new(100, 1_000)?).await?;
    let roles = ["api", "dispatcher", "dispatcher", "intake,relay,projector,health"];
    let mut services = roles.iter().map(|roles| world.serve(roles)).collect::<anyhow::Result<Vec<Process>>>()?;
    let api = Api::of(&services[0]).await?.as_caller(&world, ORG, None, "owner")?;
    let units = names(20);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(20, 1).await?;
    world.link(target, &units).await?;
    world.drained(Duration::from_secs(60)).await?;
    pair.is_lost_from_now_on().await?;

    for (revision, description) in [(2, "Lost."), (3, "Lost as well.")] {
        world.publish(&all_described(&units, revision, description)).await?;
        world.are_at_the_channel(8720, 20, description, Duration::from_secs(60)).await?;
    }
    let [pause, resume] = ["pause", "resume"].map(|what| format!("/api/channels/targets/{target}/{what}"));
    api.post(&pause, &json!({ "reason": "lost" })).await?.expect(200)?;
    let known = world.count("SELECT max(position) FROM events").await?;
    pair.fails_over(&mut world).await?;
    let kept = world.count("SELECT max(position) FROM events").await?;
    assert!(kept + 80 <= known, "two syncs of each listing are lost: {kept} of {known}");

    // It takes the number of the pause that is lost.
    let (code, _, error) = world.run(&["target", "configure", &target.to_string(), "--name", "Renamed"])?;
    assert_eq!(code, 0, "{error}");
    world.publish(&all_described(&units, 4, "After it.")).await?;
    world.are_at_the_channel(8720, 20, "After it.", PATIENCE).await?;
    api.post(&pause, &json!({ "reason": "once more" })).await?.expect(200)?;
    let resumed = api.post(&resume, &Value::Null).await?.expect(200)?.json();
    assert_eq!(resumed["name"], json!("Renamed"));
    for event in ["TargetPaused", "TargetResumed"] {
        let count = world.count(&format!("SELECT count(*) FROM events WHERE event_type = '{event}'")).await?;
        assert_eq!(count, 1, "{event}");
    }
    world.drained(Duration::from_secs(30)).await?;
    world.read_models_are_right()?;
    all_is_published(&world).await?;
    let printed: String = services.iter().map(Process::printed).collect();
    assert!(printed.contains("lacks events that this process has seen"), "somebody says it: {printed}");
    for service in &mut services {
        assert_eq!(service.ended()?, None, "each is the process that it was");
    }
    world.close().await
}

/// The tables as on a server that has taken over and lacks the newest leases. The call that waits is told why it ends, and nobody else's
/// hands are blamed for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_a_failover_has_stopped_says_so() -> anyhow::Result<()> {
    let world = World::new(&[8780]).await?;
    // A token and a look-up are all that the window has room for: the creation waits.
    let target = world.target(8780, RateLimit::new(2, 30_000)?).await?;
    let _base = world.serve("intake,relay,projector")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.link(target, &names(1)).await?;
    let _dispatcher = world.serve("dispatcher")?;
    wait_until("both calls were answered", Duration::from_secs(20), || async {
        let arrivals = world.sandbox.arrivals(8780).await?;
        let answered = arrivals.iter().filter(|call| !call["status"].is_null()).count();
        Ok(if answered == 2 { Ok(()) } else { Err(format!("{answered} calls")) })
    })
    .await?;
    let moved = "DELETE FROM dispatch_leases; UPDATE dispatch_server SET server = 'another/00000001/16384'";
    sqlx::raw_sql(moved).execute(&world.pool).await?;
    let told = "SELECT concat_ws(' ', class, detail) FROM outbound_audit";
    let said = "stopped no further calls are made: the database is on another server, or was restored, and may not know of what \
                was begun";
    wait_until("the attempt has ended", Duration::from_secs(30), || async {
        let told: String = sqlx::query_scalar(told).fetch_one(&world.pool).await?;
        Ok(if told == said { Ok(()) } else { Err(told) })
    })
    .await?;
    // It goes on, in a window of which more is free, and no attempt is used up.
    let (code, _, error) = world.run(&["target", "rate-limit", &target.to_string(), "100/1s"])?;
    assert_eq!(code, 0, "{error}");
    world.drained(Duration::from_secs(120)).await?;
    assert_eq!(world.count("SELECT attempts::bigint FROM outbound_audit WHERE outcome = 'accepted'").await?, 1);
    world.close().await
}

/// A call is under way to each of two listings: one whose unit goes back to what the channel took before, so that as far as the journal
/// knows nothing differs, and one that the journal lost as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_of_a_lost_sync_wrote_does_not_stay() -> anyhow::Result<()> {
    let mut pair = Pair::start().await?;
    let mut world = pair.world(8725).await?;
    let target = world.target(8725, RateLimit::new(100, 1_000)?).await?;
    let _others = world.serve("intake,relay,projector")?;
    let mut dispatcher = world.serve("dispatcher")?;
    let units = names(2);
    let (first, second) = units.split_at(1);
    world.link(target, first).await?;
    world.publish(&all_described(first, 1, "The first words.")).await?;
    world.are_at_the_channel(8725, 1, "The first words.", Duration::from_secs(60)).await?;
    pair.is_lost_from_now_on().await?;

    for method in ["PUT", "POST"] {
        let path = "/v1/listings";
        let rule = json!({"kind": "hang", "seconds": 60, "apply": true, "method": method, "path_prefix": path});
        world.sandbox.fault(rule).await?;
    }
    world.link(target, second).await?;
    world.publish(&[all_described(first, 2, "Lost words."), all_described(second, 1, "Lost words.")].concat()).await?;
    wait_until("both calls are in", Duration::from_secs(30), || async {
        let all = world.sandbox.listings(8725).await?;
        let lost = all.iter().filter(|listing| listing["description"] == "Lost words.").count();
        Ok(if lost == 2 { Ok(()) } else { Err(format!("{lost} of {}", all.len())) })
    })
    .await?;
    pair.fails_over(&mut world).await?;
    // As far as the journal knows nothing differs, and the ordinal of the lost sync is another one's by the time its outcome is told.
    world.publish(&all_described(first, 3, "The first words.")).await?;
    wait_until("the change back is taken in", Duration::from_secs(60), || async {
        let skipped = world.count("SELECT count(*) FROM events WHERE event_type = 'SyncSkipped'").await?;
        Ok(if skipped == 1 { Ok(()) } else { Err(format!("{skipped} skipped")) })
    })
    .await?;
    world.sandbox.heal().await?;
    wait_until("both outcomes are told", Duration::from_secs(60), || async {
        let told = dispatcher.printed().matches("the journal has lost its sync").count();
        Ok(if told == 2 { Ok(()) } else { Err(format!("{told} of 2: {}", dispatcher.printed())) })
    })
    .await?;

    world.link(target, second).await?;
    world.publish(&all_described(second, 2, "The first words.")).await?;
    world.are_at_the_channel(8725, 2, "The first words.", PATIENCE).await?;
    assert_eq!(dispatcher.ended()?, None, "it is the process that it was");
    world.read_models_are_right()?;
    world.close().await
}

/// The journal as it was at a position. What came after that is lost, and its positions are given again.
async fn put_back(world: &mut World, position: i64) -> anyhow::Result<()> {
    let mut transaction = world.pool.begin().await?;
    sqlx::query("DELETE FROM events WHERE position > $1").bind(position).execute(&mut *transaction).await?;
    sqlx::query("SELECT setval('events_position_seq', $1)").bind(position).execute(&mut *transaction).await?;
    transaction.commit().await?;
    world.forget();
    Ok(())
}

/// Two events each time.
async fn pause_and_resume(world: &World, target: TargetId, times: usize) -> anyhow::Result<()> {
    let metadata = world.metadata(target)?;
    for _ in 0..times {
        let pause = TargetCommand::Pause { reason: "works".to_owned() };
        world.commands().target(target, pause, &metadata).await?;
        world.commands().target(target, TargetCommand::Resume, &metadata).await?;
    }
    Ok(())
}

/// What has come again by the time that it looks goes beyond what it has published, and begins before that.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_runs_publishes_what_follows_a_lost_end_of_the_journal() -> anyhow::Result<()> {
    let mut world = World::new(&[8730]).await?;
    let target = world.target(8730, RateLimit::default()).await?;
    pause_and_resume(&world, target, 3).await?;
    let relay = world.serve("relay")?;
    reached(&world, StreamKind::Channels, 7).await?;
    put_back(&mut world, 3).await?;
    pause_and_resume(&world, target, 4).await?;
    all_is_published(&world).await?;
    let printed = relay.printed();
    assert!(printed.contains("events that the journal lost"), "{printed}");
    world.close().await
}

/// Published by a relay that had read it before, and came too late.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_journal_lost_is_in_no_read_model_when_its_message_comes() -> anyhow::Result<()> {
    let mut world = World::new(&[8740]).await?;
    let target = world.target(8740, RateLimit::default()).await?;
    let metadata = world.metadata(target)?;
    let pause = |reason: &str| TargetCommand::Pause { reason: reason.to_owned() };
    world.commands().target(target, pause("lost"), &metadata).await?;
    let relay = world.serve("relay")?;
    let lost = reached(&world, StreamKind::Channels, 2).await?.pop().expect("the pause");
    drop(relay);
    put_back(&mut world, 1).await?;

    let projector = world.serve("projector")?;
    world.drained(Duration::from_secs(30)).await?;
    wait_until("the projector listens", Duration::from_secs(30), || async {
        let consumers = world.nats.stream(StreamKind::Channels).await?.cached_info().state.consumer_count;
        Ok(if consumers > 0 { Ok(()) } else { Err("nobody does".to_owned()) })
    })
    .await?;
    publish_again(&world, &lost).await?;
    wait_until("the message is seen for what it is", Duration::from_secs(30), || async {
        let seen = projector.printed().contains("events that the journal lost");
        Ok(if seen { Ok(()) } else { Err(projector.printed()) })
    })
    .await?;
    // At the same position.
    world.commands().target(target, pause("kept"), &metadata).await?;
    wait_until("the read model has what the journal has", Duration::from_secs(30), || async {
        let reason: Option<String> =
            sqlx::query_scalar("SELECT lifecycle_reason FROM channel_targets").fetch_one(&world.pool).await?;
        Ok(if reason.as_deref() == Some("kept") { Ok(()) } else { Err(format!("{reason:?}")) })
    })
    .await?;
    world.read_models_are_right()?;
    world.close().await
}
