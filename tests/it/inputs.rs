//! Bad input: named, kept, counted, and never in the way of the good.

use std::time::Duration;

use domain::ids::{ExternalId, ListingId, UnitId};
use domain::listing::{LinkListing, ListingCommand, ListingError};
use domain::metadata::Actor;
use domain::target::TargetCommand;
use domain::window::RateLimit;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use serde_json::json;
use services::linking::AtChannel;
use services::syncing::SyncError;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_a_dead_letter_with_its_field_and_can_be_replayed() -> anyhow::Result<()> {
    let world = World::new(&[7900]).await?;
    let target = world.target(7900, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    world.link(target, &names(1)).await?;
    let subject = |org: &str, unit: &str| world.nats.prefix.subject(&format!("supply.unit.changed.v1.{org}.{unit}"));
    world.publish_raw(subject("tvl", "villa-009"), b"{ not json".to_vec()).await?;
    let mut wrong = unit("villa-009", 1);
    wrong["unit"]["capacity"]["guests"] = json!(0);
    world.publish(&[wrong]).await?;
    let mut elsewhere = unit("villa-009", 1);
    elsewhere["org_id"] = json!("nobody");
    world.publish_raw(subject("nobody", "villa-009"), serde_json::to_vec(&elsewhere)?).await?;
    world.publish_raw(subject("tvl", "another"), serde_json::to_vec(&unit("villa-009", 1))?).await?;
    // The stream goes on.
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    let letters = wait_until("four dead letters", Duration::from_secs(10), || async {
        let letters = world.nats.dead_letters(None, 0, 10).await?;
        Ok(if letters.len() == 4 { Ok(letters) } else { Err(format!("{} letters", letters.len())) })
    })
    .await?;
    let fields: Vec<&str> = letters.iter().flat_map(|letter| &letter.problems).map(|p| p.field.as_str()).collect();
    assert!(fields.contains(&"unit.capacity.guests"), "{fields:?}");
    assert!(fields.contains(&"org_id") && fields.contains(&"unit_id"), "{fields:?}");
    assert_eq!(letters[0].body(), "{ not json");

    // A replay after the cause is gone: the letter leaves the stream and the unit is taken in.
    let unknown = letters.iter().find(|letter| letter.subject.contains(".nobody.")).expect("it is there");
    let mut metadata = world.metadata(target)?;
    metadata.org_id = "nobody".parse()?;
    let other = domain::ids::TargetId(uuid::Uuid::now_v7());
    let create = TargetCommand::Create(domain::target::NewTarget {
        target_id: other,
        org_id: "nobody".parse()?,
        account_id: "villas".parse()?,
        name: "first".to_owned(),
        channel: domain::channel::ChannelKind::Hostaway,
        base_url: format!("{}/v1", world.sandbox.url),
        channel_account: "7900".to_owned(),
        credential: "file:hostaway-7900".parse()?,
        rate_limit: RateLimit::default(),
        account_rate_limit: None,
    });
    world.commands().target(other, create, &metadata).await?;
    world.nats.replay_dead_letter(unknown).await?;
    wait_until("the unit is kept", Duration::from_secs(10), || async {
        let kept = world.count("SELECT count(*) FROM units WHERE org_id = 'nobody'").await?;
        Ok(if kept == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;
    assert_eq!(world.nats.dead_letter_count().await?, 3);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_never_came_to_its_first_sync_is_mended_by_linking_again() -> anyhow::Result<()> {
    let world = World::new(&[7920]).await?;
    let target = world.target(7920, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let unit_id = UnitId::new("villa-000")?;
    let link = ListingCommand::Link(LinkListing {
        org_id: ORG.parse()?,
        account_id: ACCOUNT.parse()?,
        unit_id: unit_id.clone(),
        target_id: target,
        unit_account_id: None,
        external_id: None,
        afresh: false,
    });
    // Whoever linked came to grief right after this.
    world.commands().listing(ListingId::of(target, &unit_id), link, &world.metadata(target)?).await?;
    let again = || world.syncing.link(target, unit_id.clone(), AtChannel::Kept, Actor::cli("tester"));
    assert!(again().await?.sync_requested);
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(world.sandbox.listings(7920).await?.len(), 1);
    assert!(matches!(again().await, Err(SyncError::Refused(ListingError::AlreadyLinked))), "there is nothing to mend");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_make_no_sense_are_refused() -> anyhow::Result<()> {
    let world = World::new(&[7910]).await?;
    let target = world.target(7910, RateLimit::default()).await?;
    let link = |unit: &str| {
        let unit = UnitId::new(unit).expect("a name");
        world.syncing.link(target, unit, AtChannel::Kept, Actor::cli("tester"))
    };
    let listing = link("villa-000").await?.listing_id;
    assert!(matches!(link("villa-000").await, Err(SyncError::Refused(ListingError::AlreadyLinked))));
    assert!(RateLimit::new(0, 10_000).is_err());

    // A snapshot of another organisation's unit looks like one that does not exist.
    let foreign = adapters::units::UnitSnapshot {
        hash: domain::hash::SnapshotHash::of_bytes(b"foreign"),
        org_id: "other".parse()?,
        account_id: "villas".parse()?,
        unit_id: "villa-000".parse()?,
        revision: 1,
        body: unit("villa-000", 1).to_string(),
    };
    world.syncing.units().keep(std::slice::from_ref(&foreign)).await?;
    let replay = world.syncing.resend(listing, Some(foreign.hash), "test".to_owned(), Actor::cli("tester")).await;
    assert!(matches!(replay, Err(SyncError::SnapshotUnknown(_))), "{replay:?}");

    let delete = TargetCommand::Delete { reason: "test".to_owned() };
    world.commands().target(target, delete, &world.metadata(target)?).await?;
    let refused = link("villa-001").await.expect_err("the target is deleted").to_string();
    assert!(refused.contains("deleted"), "{refused}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_nobody_linked_is_kept_and_a_later_link_starts_from_it() -> anyhow::Result<()> {
    let world = World::new(&[7920]).await?;
    let target = world.target(7920, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    world.publish(&[unit("villa-000", 5)]).await?;
    world.taken(1, 5).await?;
    wait_until("it is counted", Duration::from_secs(10), || async {
        let counted =
            world.count("SELECT coalesce(sum(count), 0)::bigint FROM intake_tally WHERE outcome = 'unlinked'").await?;
        Ok(if counted == 1 { Ok(()) } else { Err(format!("{counted}")) })
    })
    .await?;
    world.link(target, &names(1)).await?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(world.sandbox.listings(7920).await?.len(), 1);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_to_be_kept_whole_does_not_stop_the_stream() -> anyhow::Result<()> {
    let world = World::new(&[7930]).await?;
    let target = world.target(7930, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    world.link(target, &names(1)).await?;
    let subject = world.nats.prefix.subject("supply.unit.changed.v1.tvl.villa-000");
    let largest = world.nats.max_payload();
    world.publish_raw(subject.clone(), vec![b'x'; largest - 1]).await?;
    // A field whose name is most of the body, many problems, and all the headers that a stream takes.
    let long = "f\0".repeat(100_000);
    world.publish_raw(subject.clone(), serde_json::to_vec(&json!({ long: 1 }))?).await?;
    let mut many = unit("villa-000", 1);
    let calendar = (0..300).map(|index| json!({ "first_night": "x".repeat(2_000), format!("{index}"): 1 }));
    many["unit"]["calendar"] = calendar.collect();
    world.publish_raw(subject.clone(), serde_json::to_vec(&many)?).await?;
    let mut headers = async_nats::HeaderMap::new();
    for index in 0..15 {
        headers.insert(format!("X-{index}").as_str(), "h".repeat(4_000));
    }
    world.publish_with(subject, headers, vec![b'x'; largest - 62_000]).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    let letters = world.nats.dead_letters(None, 0, 10).await?;
    assert_eq!(letters.len(), 4);
    assert!(letters.iter().all(|letter| !letter.problems.is_empty()));
    for cut in [&letters[0], &letters[3]] {
        let refused = world.nats.replay_dead_letter(cut).await.expect_err("it is cut").to_string();
        assert!(refused.contains("too large"), "{refused}");
    }
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_listing_that_the_channel_does_not_know_is_rejected_and_left_behind_by_a_link_afresh()
-> anyhow::Result<()> {
    let world = World::new(&[7940]).await?;
    let target = world.target(7940, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let link =
        |at_channel| world.syncing.link(target, "villa-000".parse().expect("a name"), at_channel, Actor::cli("tester"));
    let listing = link(AtChannel::Listing(ExternalId("51600".to_owned()))).await?.listing_id;
    let shown = wait_until("it is refused", Duration::from_secs(30), || async {
        let (_, shown, _) = world.run(&["listing", "show", &listing.to_string()])?;
        Ok(if shown.contains("rejected") { Ok(shown) } else { Err(shown) })
    })
    .await?;
    assert!(
        shown.contains("HTTP 404") && shown.contains(&format!("`distribution listing unlink {listing}`")),
        "{shown}"
    );
    assert_eq!(world.count("SELECT count(*) FROM outbound_audit WHERE attempts = 1").await?, 1, "once is enough");

    let (code, ..) = world.run(&["listing", "unlink", &listing.to_string()])?;
    assert_eq!(code, 0);
    link(AtChannel::Afresh).await?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(world.sandbox.listings(7940).await?.len(), 1);
    world.close().await
}
