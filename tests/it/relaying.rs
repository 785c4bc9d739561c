//! The relay: nothing that the journal holds, and nothing that others write into its streams, holds it up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapters::leader::Leadership;
use adapters::nats::in_journal::{IN_JOURNAL, InJournal};
use adapters::nats::topology::StreamKind;
use adapters::units::UnitSnapshot;
use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use domain::call::{CallPurpose, CallRecord};
use domain::ids::{ListingId, TargetId};
use domain::listing::{ListingCommand, Progress, SyncReport};
use domain::outcome::OutcomeClass;
use domain::target::TargetCommand;
use domain::unit::UnitChanged;
use domain::window::RateLimit;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::World;
use services::relay::{POSITION, PREVIOUS_POSITION, Relay};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A listing with a sync that waits.
async fn pending(world: &World, account: u64) -> anyhow::Result<(TargetId, ListingId)> {
    let target = world.target(account, RateLimit::new(100, 1_000)?).await?;
    let snapshot = UnitSnapshot::of(&UnitChanged::from_value(unit("villa-000", 1))?);
    world.syncing.units().keep(&[snapshot]).await?;
    Ok((target, world.link(target, &names(1)).await?[0]))
}

/// Waits until a stream has so many messages; gives them.
pub async fn reached(world: &World, kind: StreamKind, count: usize) -> anyhow::Result<Vec<StreamMessage>> {
    wait_until("the relay has published", Duration::from_secs(30), || async move {
        let have = world.nats.stream(kind).await?.cached_info().state.messages;
        Ok(if have >= u64::try_from(count)? { Ok(()) } else { Err(format!("{have} of {count}")) })
    })
    .await?;
    world.messages(kind).await
}

fn header(message: &StreamMessage, name: &str) -> Option<String> {
    message.headers.get(name).map(|value| value.as_str().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_too_large_for_a_message_is_named_and_holds_nothing_back() -> anyhow::Result<()> {
    let world = World::new(&[8100]).await?;
    let (target, listing) = pending(&world, 8100).await?;
    let reason = "x".repeat(world.nats.max_payload());
    let unlink = ListingCommand::Unlink { reason: reason.clone() };
    let at = world.commands().listing(listing, unlink, &world.metadata(target)?).await?;
    let at = at.expect("it was linked").0;
    let _service = world.serve("relay,projector")?;
    world
        .commands()
        .target(target, TargetCommand::Pause { reason: "after".to_owned() }, &world.metadata(target)?)
        .await?;
    world.drained(Duration::from_secs(30)).await?;
    let kept =
        world.count("SELECT max(length(detail))::bigint FROM outbound_audit WHERE outcome = 'cancelled'").await?;
    assert_eq!(kept, i64::try_from(reason.len())?, "the read models have it from the journal");

    let channels = reached(&world, StreamKind::Channels, 5).await?;
    let stubs: Vec<&StreamMessage> = channels.iter().filter(|m| m.headers.get(IN_JOURNAL).is_some()).collect();
    assert_eq!(stubs.len(), 1);
    let stub: InJournal = serde_json::from_slice(&stubs[0].payload)?;
    assert_eq!((stub.position, stub.aggregate_id), (at, listing.to_string()));
    assert!(header(channels.last().expect("the pause"), POSITION) > header(stubs[0], POSITION));
    let audit = reached(&world, StreamKind::Audit, 1).await?;
    assert!(header(audit.last().expect("the cancellation"), IN_JOURNAL).is_some());
    world.close().await
}

/// As where a process has ended and something between keeps its connection open: whoever stands by says nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_the_session_that_holds_the_lock_of_a_reader_that_is_behind() -> anyhow::Result<()> {
    let world = World::new(&[8170]).await?;
    let relay = format!("relay {}", world.nats.prefix);
    let relay = Leadership::try_take(&world.pool, &relay).await?.context("nobody else has it")?;
    let projector = Leadership::try_take(&world.pool, "projector").await?.context("nobody else has it")?;
    pending(&world, 8170).await?;
    let _service = world.serve("relay,projector")?;
    let held = "its lock is held by the Postgres session ";
    wait_until("both sessions are named", Duration::from_secs(40), || async {
        let (_, printed, _) = world.run(&["doctor"])?;
        let named = printed.matches(held).count();
        let ends = printed.matches("pg_terminate_backend(").count();
        Ok(if (named, ends) == (2, 2) { Ok(()) } else { Err(printed) })
    })
    .await?;
    relay.release().await;
    projector.release().await;
    wait_until("both go on", Duration::from_secs(30), || async {
        let (_, printed, _) = world.run(&["doctor"])?;
        let at_the_end = printed.matches("at the journal's end").count();
        Ok(if at_the_end == 2 && !printed.contains(held) { Ok(()) } else { Err(printed) })
    })
    .await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_bounded_in_bytes_as_well() -> anyhow::Result<()> {
    let world = World::new(&[8140]).await?;
    let (target, listing) = pending(&world, 8140).await?;
    let metadata = world.metadata(target)?;
    for _ in 0..12 {
        let pause = ListingCommand::Pause { reason: "x".repeat(900_000) };
        world.commands().listing(listing, pause, &metadata).await?;
        world.commands().listing(listing, ListingCommand::Resume, &metadata).await?;
    }
    let _service = world.serve("relay")?;
    let channels = reached(&world, StreamKind::Channels, 27).await?;
    let mut batches: HashMap<String, usize> = HashMap::new();
    for message in &channels {
        assert_eq!(header(message, IN_JOURNAL), None, "it fits");
        // The last few are no batch.
        let batch = header(message, "Nats-Batch-Id").unwrap_or_else(|| "none".to_owned());
        *batches.entry(batch).or_default() += message.payload.len();
    }
    assert!(batches.len() > 1 && batches.values().all(|bytes| *bytes < 9_000_000), "{batches:?}");
    world.close().await
}

/// Publishes a message once more, as it was.
pub async fn publish_again(world: &World, message: &StreamMessage) -> anyhow::Result<()> {
    let mut headers = HeaderMap::new();
    for (name, value) in message.headers.iter().filter(|(name, _)| !name.to_string().starts_with("Nats-")) {
        value.iter().for_each(|value| headers.append(name.clone(), value.clone()));
    }
    let (subject, body) = (message.subject.clone(), message.payload.clone());
    world.nats.jetstream.publish_with_headers(subject, headers, body).await?.await?;
    Ok(())
}

/// The end of a sync with this many calls: as many audit events, and one.
async fn many_calls(world: &World, target: TargetId, listing: ListingId, calls: usize) -> anyhow::Result<i64> {
    let job = world.commands().load_listing(listing).await?.pending().expect("a sync waits").sync_id;
    let now = chrono::Utc::now();
    let call = |_| CallRecord {
        request_id: Uuid::now_v7(),
        purpose: CallPurpose::Calendar,
        method: "PUT".to_owned(),
        path: "/listings/1/calendar".to_owned(),
        started_at: now,
        duration_ms: 1,
        status: Some(200),
        class: OutcomeClass::Accepted,
        detail: None,
        answer: None,
    };
    let report = SyncReport {
        sync_id: job,
        ordinal: 1,
        takes_over: false,
        silent: None,
        started_at: now,
        finished_at: now,
        class: Some(OutcomeClass::Accepted),
        detail: None,
        progress: Progress::default(),
        rejected: Vec::new(),
        calls: (0..calls).map(call).collect(),
        hopeless: false,
        retry_at: now,
        max_attempts: 5,
    };
    let mut metadata = world.metadata(target)?;
    metadata.unit_id = Some("villa-000".parse()?);
    let at = world.commands().listing(listing, ListingCommand::RecordOutcome(report), &metadata).await?;
    Ok(at.expect("it is recorded").0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_more_messages_than_a_batch_takes_goes_out_whole_and_once() -> anyhow::Result<()> {
    let world = World::new(&[8110]).await?;
    let (target, listing) = pending(&world, 8110).await?;
    let at = many_calls(&world, target, listing, 2_300).await?;
    let ids = |messages: &[StreamMessage]| messages.iter().filter_map(|m| header(m, "ce-id")).collect::<Vec<_>>();
    let whole: Vec<String> = {
        let service = world.serve("relay")?;
        let published = ids(&reached(&world, StreamKind::Audit, 2_301).await?);
        drop(service);
        published
    };
    let event = whole[0].split(':').next().expect("an id").to_owned();
    assert_eq!(whole, (0..=2_300).map(|index| format!("{event}:{index}")).collect::<Vec<_>>());

    // A relay that died in the middle of it: the stream as it was after the first batch.
    let first = world.messages(StreamKind::Audit).await?.swap_remove(999);
    assert_eq!(header(&first, "Event-Continues-After").as_deref(), Some("1000"));
    world.delete_stream(StreamKind::Audit).await?;
    world.nats.ensure_stream(StreamKind::Audit).await?;
    publish_again(&world, &first).await?;
    let _service = world.serve("relay")?;
    let after = reached(&world, StreamKind::Audit, 1_302).await?;
    assert_eq!(ids(&after), whole[999..]);
    assert!(after.iter().all(|message| header(message, POSITION) == Some(at.to_string())));
    assert!(header(&after[0], PREVIOUS_POSITION) < Some(at.to_string()));
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_message_at_the_tail_begins_nothing_anew() -> anyhow::Result<()> {
    let world = World::new(&[8120]).await?;
    let (target, listing) = pending(&world, 8120).await?;
    let published = {
        let _service = world.serve("relay")?;
        reached(&world, StreamKind::Channels, 3).await?.len()
    };
    let stray = world.nats.prefix.subject("channels.events.v1.listing.tvl.stray");
    let mut headers = HeaderMap::new();
    headers.insert(POSITION, "not a number");
    world.nats.jetstream.publish_with_headers(stray.clone(), headers, "stray".into()).await?.await?;
    let last = world.nats.jetstream.publish(stray, "deleted".into()).await?.await?.sequence;
    world.nats.stream(StreamKind::Channels).await?.delete_message(last).await?;
    let _service = world.serve("relay")?;
    let pause = ListingCommand::Pause { reason: "after".to_owned() };
    let at = world.commands().listing(listing, pause, &world.metadata(target)?).await?.expect("it is paused").0;
    wait_until("the pause is out", Duration::from_secs(10), || async {
        let stream = world.nats.stream(StreamKind::Channels).await?;
        let messages = stream.cached_info().state.messages;
        Ok(if messages > u64::try_from(published)? + 1 { Ok(()) } else { Err(format!("{messages} messages")) })
    })
    .await?;
    let mut state = world.nats.stream(StreamKind::Channels).await?;
    let info = state.info().await?.state.clone();
    assert_eq!(info.messages, u64::try_from(published)? + 2, "the stray one and the pause");
    let newest = state.get_raw_message(info.last_sequence).await?;
    assert_eq!(header(&newest, POSITION), Some(at.to_string()));
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_older_messages_at_the_tail_rewind_nothing() -> anyhow::Result<()> {
    let world = World::new(&[8181]).await?;
    let (target, listing) = pending(&world, 8181).await?;
    let published = {
        let _service = world.serve("relay")?;
        reached(&world, StreamKind::Channels, 3).await?
    };
    let before = own(&world).await?;
    publish_again(&world, &published[0]).await?;
    publish_again(&world, &published[1]).await?;
    let _service = world.serve("relay")?;
    let pause = ListingCommand::Pause { reason: "after".to_owned() };
    let at = world.commands().listing(listing, pause, &world.metadata(target)?).await?.expect("it is paused").0;
    reached(&world, StreamKind::Channels, 6).await?;
    assert_eq!(own(&world).await?, [&before[..], &[before[0], before[1], at][..]].concat());
    world.close().await
}

/// As a later build may write it.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_told_on_channels_whatever_stands_beside_it() -> anyhow::Result<()> {
    let world = World::new(&[8182]).await?;
    let (target, listing) = pending(&world, 8182).await?;
    let pause = ListingCommand::Pause { reason: "after".to_owned() };
    let at = world.commands().listing(listing, pause, &world.metadata(target)?).await?.expect("it is paused").0;
    let beside = "UPDATE events SET metadata = '{\"actor\":[\"of another build\"]}' WHERE position = $1";
    sqlx::query(beside).bind(at).execute(&world.pool).await?;
    let _service = world.serve("relay")?;
    let published = reached(&world, StreamKind::Channels, 4).await?;
    let told = published.last().expect("there are four");
    assert_eq!(header(told, POSITION), Some(at.to_string()));
    let body: serde_json::Value = serde_json::from_slice(&told.payload)?;
    assert_eq!(body["metadata"]["actor"][0], "of another build");
    world.close().await
}

/// A message of somebody else: on which stream, with which headers.
async fn stray(world: &World, kind: StreamKind, headers: &[(&str, &str)], body: &str) -> anyhow::Result<()> {
    let subject = match kind {
        StreamKind::Audit => "channels.audit.v1.tvl.stray.attempt",
        _ => "channels.events.v1.listing.tvl.stray",
    };
    let mut all = HeaderMap::new();
    headers.iter().for_each(|(name, value)| all.insert(*name, *value));
    let body = body.to_owned().into();
    world.nats.jetstream.publish_with_headers(world.nats.prefix.subject(subject), all, body).await?.await?;
    Ok(())
}

/// Waits until the read models have what is in the journal up to a position, and the stream too.
async fn told(world: &World, at: i64) -> anyhow::Result<()> {
    wait_until("it is on the stream and in the read models", Duration::from_secs(30), || async {
        let applied = world.count("SELECT coalesce(min(position), 0) FROM projection_checkpoints").await?;
        let out = own(world).await?.last().copied().unwrap_or_default();
        Ok(if applied >= at && out >= at {
            Ok(())
        } else {
            Err(format!("read models {applied}, stream {out}, of {at}"))
        })
    })
    .await
}

/// Positions of the relay's own messages on `CHANNELS`, in their order.
async fn own(world: &World) -> anyhow::Result<Vec<i64>> {
    let messages = world.messages(StreamKind::Channels).await?;
    let own = messages.iter().filter(|message| header(message, "Event-Id").is_some());
    Ok(own.filter_map(|message| header(message, POSITION)?.parse().ok()).collect())
}

/// While relay and projector are at work, and while there is no relay.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_messages_between_those_of_the_relay_lose_nothing_and_double_nothing() -> anyhow::Result<()> {
    let world = World::new(&[8180]).await?;
    let (target, listing) = pending(&world, 8180).await?;
    let metadata = world.metadata(target)?;
    let pause = || ListingCommand::Pause { reason: "held".to_owned() };
    let mut service = world.serve("relay,projector")?;
    let far = (POSITION, "999999999");
    let strays: [(&[(&str, &str)], &str); 7] = [
        (&[], "no event"),
        (&[far], "{}"),
        (&[far, (PREVIOUS_POSITION, "0")], "no event"),
        (&[far, (IN_JOURNAL, "1000000")], "{}"),
        (&[(POSITION, "not a number")], "[]"),
        (&[(POSITION, "1"), ("ce-id", "of-another-system")], "no event"),
        (&[far, ("ce-id", "0199f0f0-0000-7000-8000-000000000000"), ("ce-source", "another-system")], "{}"),
    ];
    for (index, (headers, body)) in strays.into_iter().enumerate() {
        stray(&world, StreamKind::Channels, headers, body).await?;
        stray(&world, StreamKind::Audit, headers, body).await?;
        let command = if index % 2 == 0 { pause() } else { ListingCommand::Resume };
        let at = world.commands().listing(listing, command, &metadata).await?.expect("it is another state").0;
        told(&world, at).await.with_context(|| format!("after {headers:?} {body}"))?;
    }
    assert!(service.ended()?.is_none(), "{}", service.printed());
    assert!(!service.printed().contains("the projector starts again"), "{}", service.printed());
    drop(service);

    let like_ours = [far, ("ce-id", "0199f0f0-0000-7000-8000-000000000000")];
    stray(&world, StreamKind::Channels, &like_ours, "{}").await?;
    stray(&world, StreamKind::Audit, &like_ours, "{}").await?;
    let _service = world.serve("relay,projector")?;
    many_calls(&world, target, listing, 2).await?;
    let at = world.commands().listing(listing, ListingCommand::Resume, &metadata).await?.expect("it was paused").0;
    told(&world, at).await?;
    let journal: Vec<i64> =
        sqlx::query_scalar("SELECT position FROM events ORDER BY position").fetch_all(&world.pool).await?;
    assert_eq!(own(&world).await?, journal, "each event once, in order");
    assert!(journal.last().is_some_and(|last| *last < 1_000_000), "{journal:?}");
    let of_audit = wait_until("the calls and the end are out", Duration::from_secs(30), || async {
        let messages = world.messages(StreamKind::Audit).await?;
        let ids: Vec<String> = messages.iter().filter_map(|message| header(message, "ce-id")).collect();
        let own: Vec<String> = ids.into_iter().filter(|id| id.contains(':')).collect();
        Ok(if own.len() >= 3 { Ok(own) } else { Err(format!("{own:?}")) })
    })
    .await?;
    assert_eq!(of_audit.len(), 3, "the two calls and the end of the sync, once: {of_audit:?}");
    world.read_models_are_right()?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_stops_although_others_go_on_appending() -> anyhow::Result<()> {
    let world = World::new(&[8130]).await?;
    world.target(8130, RateLimit::default()).await?;
    let (_quiet, appended) = tokio::sync::watch::channel(0);
    let stop = CancellationToken::new();
    let relay = tokio::spawn(Relay::new(world.pool.clone(), world.nats.clone(), appended).run(stop.clone()));
    reached(&world, StreamKind::Channels, 1).await?;
    let done = AtomicBool::new(false);
    let append = || async {
        while !done.load(Ordering::Relaxed) {
            world.target(8130, RateLimit::default()).await?;
        }
        anyhow::Ok(())
    };
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = world.count("SELECT max(position) FROM events").await?;
        stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), relay).await;
        done.store(true, Ordering::Relaxed);
        ended??;
        anyhow::Ok(before)
    };
    let ((), (), (), before) = futures::try_join!(append(), append(), append(), stopping)?;
    let last = world.messages(StreamKind::Channels).await?;
    let reached: i64 = header(last.last().expect("there are some"), POSITION).expect("it has one").parse()?;
    assert!(reached >= before, "what was there at the stop is out: {reached} of {before}");
    world.close().await
}

/// A primary that is lost with what its replica had not heard of: the stream is ahead of the journal.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_lost_part_of_the_journal_is_published_and_no_position_is_told_twice() -> anyhow::Result<()> {
    let mut world = World::new(&[8150]).await?;
    let (target, listing) = pending(&world, 8150).await?;
    let metadata = world.metadata(target)?;
    let pause = || ListingCommand::Pause { reason: "held".to_owned() };
    many_calls(&world, target, listing, 2).await?;
    let kept = world.commands().listing(listing, pause(), &metadata).await?.expect("it is paused").0;
    for command in [ListingCommand::Resume, pause(), ListingCommand::Resume] {
        world.commands().listing(listing, command, &metadata).await?;
    }
    let service = world.serve("relay")?;
    let before = reached(&world, StreamKind::Channels, 8).await?;
    let lost_up_to: i64 = header(before.last().expect("the last"), POSITION).expect("it has one").parse()?;
    drop(service);
    world.count("WITH lost AS (DELETE FROM events WHERE sequence > (SELECT max(sequence) - 3 FROM events WHERE aggregate_type = 'ChannelListing') AND aggregate_type = 'ChannelListing' RETURNING 1) SELECT count(*) FROM lost").await?;
    world.count(&format!("SELECT setval('events_position_seq', {kept})")).await?;
    world.forget();

    // Appended before a relay looks, so at a position that the stream has with another event.
    let resumed = world.commands().listing(listing, ListingCommand::Resume, &metadata).await?.expect("it goes on").0;
    assert!(resumed <= lost_up_to, "{resumed} was the position of a lost event, of {lost_up_to}");
    let (_, printed, _) = world.run(&["doctor"])?;
    assert!(printed.contains("CHANNELS ends with events that the journal does not have"), "{printed}");

    let _service = world.serve("relay")?;
    let after = reached(&world, StreamKind::Channels, 9).await?;
    assert_eq!(header(&after[8], POSITION), Some(resumed.to_string()), "it is out");
    let paused = world.commands().listing(listing, pause(), &metadata).await?.expect("it is paused").0;
    assert!(paused > lost_up_to, "a reader that has seen {lost_up_to} takes {paused}");
    let after = reached(&world, StreamKind::Channels, 10).await?;
    assert_eq!(header(&after[9], POSITION), Some(paused.to_string()));
    let (_, printed, _) = world.run(&["doctor"])?;
    assert!(printed.contains("at the journal's end"), "{printed}");
    let audit = world.messages(StreamKind::Audit).await?.len();
    assert_eq!(audit, 3, "the two calls and the end of the sync, once");
    world.close().await
}
