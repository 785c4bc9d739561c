//! A unit that moves to another account: nothing of what it is there leaves by the targets of the one before, nor is it shown to those
//! who see these alone. Every door says why nothing comes, and when the unit is back its newest state is sent.

use std::time::Duration;

use anyhow::Context;
use domain::ids::ListingId;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

use crate::why::{json_of, listed, priced, published};

/// The account that units move to.
const THERE: &str = "lombok";
/// What a unit says there.
const THEIRS: &str = "a pool of which nobody else knows";

/// A revision of a unit in an account.
fn of(unit: &str, account: &str, revision: u64, description: &str) -> Value {
    let mut message = priced(unit, revision, 4_000);
    message["account_id"] = json!(account);
    message["unit"]["description"]["en"] = json!(description);
    message
}

/// The descriptions that an account at the channel has.
async fn described(world: &World, account: u64) -> anyhow::Result<Vec<String>> {
    let listings = world.sandbox.listings(account).await?;
    Ok(listings.iter().filter_map(|listing| listing["description"].as_str().map(str::to_owned)).collect())
}

/// A target of the account that units move to.
async fn target_there(world: &World, owner: &Api, account: u64) -> anyhow::Result<String> {
    let wanted = json!({
        "account_id": THERE, "name": "theirs", "base_url": format!("{}/v1", world.sandbox.url),
        "channel_account": account.to_string(), "secret": format!("secret-{account}"), "rate_limit": "100/1s",
    });
    let made = owner.post("/api/channels/targets", &wanted).await?.expect(201)?.json();
    made["target_id"].as_str().map(str::to_owned).context("a target")
}

/// What the page says that the channel had after an event of a listing.
async fn had(api: &Api, listing: &str, sequence: i64) -> anyhow::Result<String> {
    let page = api.get(&format!("/listings/{listing}/at/{sequence}")).await?.expect(200)?.text;
    let part = page.split("What the channel had").nth(1).and_then(|rest| rest.split("What was wanted then").next());
    part.map(str::to_owned).context("a part of the page")
}

async fn snapshots(world: &World) -> anyhow::Result<Vec<String>> {
    let all = "SELECT encode(hash, 'hex') FROM unit_snapshots ORDER BY revision";
    Ok(sqlx::query_scalar(all).fetch_all(&world.pool).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_moves_to_another_account_is_sent_there_and_nowhere_else_until_it_is_back() -> anyhow::Result<()> {
    let world = World::new(&[8230, 8231]).await?;
    let target = world.target(8230, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let anybody = Api::of(&service).await?;
    let owner = anybody.as_caller(&world, ORG, None, "owner")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let theirs = target_there(&world, &owner, 8231).await?;
    let before = described(&world, 8230).await?;
    published(&world, of("villa-000", THERE, 2, THEIRS)).await?;
    let counted = "SELECT coalesce(sum(count), 0)::bigint FROM intake_tally WHERE outcome = 'other_account'";
    assert_eq!((world.count(counted).await?, world.nats.dead_letter_count().await?), (1, 0));
    for text in refused_and_told(&world, &anybody, &listing).await? {
        assert!(!text.contains(THEIRS) && !text.contains(THERE), "{text}");
    }
    assert_eq!(described(&world, 8230).await?, before);
    told_to_owners(&world, &owner, &listing).await?;

    let link = json!({ "target_id": theirs, "unit_id": "villa-000" });
    let linked = owner.post("/api/channels/listings", &link).await?.expect(201)?.json();
    assert_eq!(linked["sync_requested"], true, "{linked}");
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(described(&world, 8231).await?, [THEIRS]);
    published(&world, of("villa-000", THERE, 3, "a larger pool")).await?;
    assert_eq!(described(&world, 8231).await?, ["a larger pool"]);
    assert_eq!(described(&world, 8230).await?, before);

    published(&world, of("villa-000", ACCOUNT, 4, "ours again")).await?;
    assert_eq!(described(&world, 8230).await?, ["ours again"]);
    assert_eq!(described(&world, 8231).await?, ["a larger pool"], "theirs has lost it");
    let path = format!("/api/channels/listings/{listing}");
    let told = owner.get(&path).await?.expect(200)?.json();
    assert_eq!((&told["unit_elsewhere"], &told["revision"]), (&json!(false), &json!(4)), "{told}");
    assert_eq!(owner.get(&format!("{path}/explain")).await?.expect(200)?.json()["elsewhere"], Value::Null);
    let lost = owner.get(&format!("/api/channels/listings?target_id={theirs}")).await?.expect(200)?.json();
    assert_eq!(lost["items"][0]["unit_elsewhere"], true, "{lost}");
    world.read_models_are_right()?;
    drop(service);
    world.close().await
}

/// Asks for the listing at every door, as those who see the account that its unit has left. Gives what each said.
async fn refused_and_told(world: &World, anybody: &Api, listing: &str) -> anyhow::Result<Vec<String>> {
    let viewer = anybody.as_caller(world, ORG, Some(ACCOUNT), "viewer")?;
    let publisher = anybody.as_caller(world, ORG, Some(ACCOUNT), "channel-publisher")?;
    let path = format!("/api/channels/listings/{listing}");
    let reason = json!({ "reason": "let it out" });
    let got = viewer.get(&path).await?.expect(200)?;
    let list = viewer.get("/api/channels/listings").await?.expect(200)?;
    for told in [&got.json(), &list.json()["items"][0]] {
        assert_eq!((&told["unit_elsewhere"], &told["revision"]), (&json!(true), &json!(1)), "{told}");
    }
    let explained = viewer.get(&format!("{path}/explain")).await?.expect(200)?;
    let told = explained.json();
    assert_eq!(told["elsewhere"], json!({ "account_id": null }), "{told:#}");
    assert!(told["words"].to_string().contains("nothing, until its unit is back in its account"), "{told:#}");
    let preview = viewer.get(&format!("{path}/preview")).await?.expect(409)?;
    let forced = viewer.get(&format!("{path}/preview?force=true")).await?.expect(409)?;
    let sync = publisher.post(&format!("{path}/sync"), &reason).await?.expect(409)?;
    let retry = publisher.post(&format!("{path}/retry"), &reason).await?.expect(409)?;
    let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?;
    let of_preview = viewer.get(&format!("/listings/{listing}/preview")).await?.expect(200)?;
    for answer in [&explained, &preview, &forced, &sync, &retry, &page, &of_preview] {
        let why = "ts unit belongs to another account now, and nothing of it is sent from there";
        assert!(answer.text.contains(why), "{}", answer.text);
    }
    let pages = viewer.get("/listings").await?.expect(200)?;
    assert!(pages.text.contains("unit elsewhere") && page.text.contains("unit elsewhere"), "{}", pages.text);
    let drift = publisher.send(Method::POST, &format!("{path}/drift"), &[], None).await?.expect(200)?;

    let kept = snapshots(world).await?;
    let [own, theirs] = &kept[..] else { panic!("two revisions were kept") };
    let mut answers = vec![got, list, explained, preview, forced, sync, retry, page, of_preview, pages, drift];
    let unknown = "0".repeat(64);
    for (there, nowhere) in [
        (
            viewer.get(&format!("{path}/preview?snapshot={theirs}")).await?,
            viewer.get(&format!("{path}/preview?snapshot={unknown}")).await?,
        ),
        (
            publisher.post(&format!("{path}/retry"), &json!({ "reason": "x", "snapshot": theirs })).await?,
            publisher.post(&format!("{path}/retry"), &json!({ "reason": "x", "snapshot": unknown })).await?,
        ),
    ] {
        assert_eq!((there.status.as_u16(), &there.text), (400, &nowhere.text));
        answers.push(there);
    }
    // What it was before it moved is theirs who see this account.
    let again = publisher.post(&format!("{path}/retry"), &json!({ "reason": "as it was", "snapshot": own })).await?;
    answers.push(again.expect(202)?);
    world.drained(Duration::from_secs(30)).await?;
    Ok(answers.into_iter().map(|answer| answer.text).collect())
}

/// Whoever sees both accounts, or works at the command line, is told where the unit is.
async fn told_to_owners(world: &World, owner: &Api, listing: &str) -> anyhow::Result<()> {
    let (_, by_command) = json_of(world, &["explain", listing])?;
    let (_, shown) = json_of(world, &["listing", "show", listing])?;
    let explained = owner.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?.json();
    for told in [&by_command, &shown, &explained] {
        assert_eq!(told["elsewhere"], json!({ "account_id": THERE }), "{told:#}");
    }
    let page = owner.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    let (_, printed, _) = world.run(&["listing", "show", listing])?;
    for text in [&page, &printed, &explained["words"].to_string()] {
        assert!(text.contains(&format!("Its unit belongs to account {THERE} now")), "{text}");
    }
    let (_, printed, _) = world.run(&["listing", "list"])?;
    assert!(printed.contains("active, unit elsewhere"), "{printed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_of_another_account_is_followed_in_both_by_whoever_has_both() -> anyhow::Result<()> {
    let world = World::new(&[8232]).await?;
    let target = world.target(8232, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let anybody = Api::of(&service).await?;
    let owner = anybody.as_caller(&world, ORG, None, "owner")?;
    let mine = anybody.as_caller(&world, ORG, Some(ACCOUNT), "channel-publisher")?;
    published(&world, of("villa-000", THERE, 1, THEIRS)).await?;
    let link = json!({ "target_id": target, "unit_id": "villa-000" });
    mine.post("/api/channels/listings", &link).await?.expect(400)?;
    let linked = owner.post("/api/channels/listings", &link).await?.expect(201)?.json();
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(described(&world, 8232).await?, [THEIRS]);
    let from = "SELECT payload #>> '{ListingLinked,from_account_id}' FROM events WHERE event_type = 'ListingLinked'";
    let from: Option<String> = sqlx::query_scalar(from).fetch_one(&world.pool).await?;
    assert_eq!(from.as_deref(), Some(THERE));
    let id = linked["listing_id"].as_str().context("a listing")?;
    let path = format!("/api/channels/listings/{id}");
    mine.get(&format!("{path}/preview")).await?.expect(200)?;
    let first = world.count("SELECT max(sequence) FROM events WHERE aggregate_type = 'ChannelListing'").await?;
    assert!(had(&mine, id, first).await?.contains(THEIRS));
    for caller in [&mine, &owner] {
        assert_eq!(caller.get(&path).await?.expect(200)?.json()["unit_elsewhere"], false);
    }
    let mut at_channel = THEIRS.to_owned();
    for (revision, account, is_sent) in [(2, "gili", false), (3, ACCOUNT, true), (4, THERE, true)] {
        let description = format!("what it is in {account}");
        published(&world, of("villa-000", account, revision, &description)).await?;
        if is_sent {
            at_channel = description;
        }
        assert_eq!(described(&world, 8232).await?, [at_channel.as_str()], "{account}");
        for caller in [&mine, &owner] {
            assert_eq!(caller.get(&path).await?.expect(200)?.json()["unit_elsewhere"], !is_sent, "{account}");
        }
    }

    // Linked again where it is now, it takes nothing from there any more. What the channel has of that is sent again, and known.
    published(&world, of("villa-000", ACCOUNT, 5, &at_channel)).await?;
    let (code, _, said) = world.run(&["listing", "unlink", id, "--reason", "it is ours"])?;
    assert_eq!(code, 0, "{said}");
    owner.post("/api/channels/listings", &link).await?.expect(201)?;
    world.drained(Duration::from_secs(30)).await?;
    mine.get(&format!("{path}/preview")).await?.expect(200)?;
    // Nor is what it had of that before shown any more.
    let told = had(&mine, id, first).await?;
    assert!(told.contains("is of an account that this listing takes nothing from") && !told.contains(THEIRS), "{told}");
    published(&world, of("villa-000", THERE, 6, "theirs again")).await?;
    assert_eq!(described(&world, 8232).await?, [at_channel.as_str()]);

    // Of a unit that nobody had published nobody knew whose it would be.
    let unseen = world.link(target, &["villa-001".to_owned()]).await?[0];
    published(&world, of("villa-001", THERE, 1, THEIRS)).await?;
    assert_eq!(described(&world, 8232).await?.len(), 1);
    let (_, told) = json_of(&world, &["explain", &unseen.to_string()])?;
    assert_eq!(told["elsewhere"]["account_id"], THERE, "{told:#}");
    let unpublished = world.link(target, &["villa-002".to_owned()]).await?[0];
    world.drained(Duration::from_secs(30)).await?;
    told_to_who_has_one_account(&world, &mine, unseen, unpublished).await?;
    world.read_models_are_right()?;
    drop(service);
    world.close().await
}

/// Whoever does not have the account that a unit was published in first is told that it is elsewhere, at every door alike, and of a unit that
/// nobody has published, that it is not. Whoever sees the listing, and nobody else.
async fn told_to_who_has_one_account(
    world: &World,
    mine: &Api,
    elsewhere: ListingId,
    unpublished: ListingId,
) -> anyhow::Result<()> {
    for (listing, is_elsewhere) in [(elsewhere, true), (unpublished, false)] {
        let path = format!("/api/channels/listings/{listing}");
        let told = mine.get(&path).await?.expect(200)?.json();
        assert_eq!((&told["unit_elsewhere"], &told["revision"]), (&json!(is_elsewhere), &Value::Null), "{told}");
        let explained = mine.get(&format!("{path}/explain")).await?.expect(200)?.json();
        assert_eq!(explained["elsewhere"].is_object(), is_elsewhere, "{explained:#}");
        let page = mine.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
        assert_eq!(page.contains("Its unit belongs to another account now"), is_elsewhere, "{page}");
        assert_eq!(page.contains("Its unit was not published yet"), !is_elsewhere, "{page}");
        assert_eq!(page.contains("Send the latest state"), !is_elsewhere, "what answers 409 is not offered: {page}");
        let sync = mine.post(&format!("{path}/sync"), &json!({ "reason": "let it out" })).await?;
        assert_eq!(sync.text.contains("belongs to another account now"), is_elsewhere, "{}", sync.text);
    }
    for (org, accounts, is_told) in
        [(ORG, ACCOUNT, true), (ORG, "*", true), (ORG, "gili", false), (ORG, THERE, false), ("elsewhere", "*", false)]
    {
        let mut reader = world.pool.begin().await?;
        let who = format!(
            "SET LOCAL ROLE distribution_reader; SET LOCAL distribution.org = '{org}';
             SET LOCAL distribution.accounts = '{accounts}'"
        );
        sqlx::raw_sql(&who).execute(&mut *reader).await?;
        let asked = sqlx::query_scalar("SELECT unit_is_elsewhere($1)").bind(elsewhere.0);
        let told: bool = asked.fetch_one(&mut *reader).await?;
        assert_eq!(told, is_told, "{org} {accounts}");
    }
    let everybody = "SELECT count(*) FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace
        AND EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0)";
    assert_eq!(world.count(everybody).await?, 0, "what runs as the owner is not for every role");
    Ok(())
}

/// Older builds asked for what a unit was in any account.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_before_for_a_unit_that_had_moved_is_not_sent() -> anyhow::Result<()> {
    let world = World::new(&[8233]).await?;
    let target = world.target(8233, RateLimit::new(100, 1_000)?).await?;
    let others = world.serve("intake,relay,projector,api")?;
    world.publish(&[of("villa-000", ACCOUNT, 1, "ours")]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    world.waits(1).await?;
    world.publish(&[of("villa-000", THERE, 2, THEIRS)]).await?;
    world.taken(1, 2).await?;
    let kept = snapshots(&world).await?;
    let [own, theirs] = &kept[..] else { panic!("two revisions were kept") };
    let asked = "UPDATE events SET payload = replace(payload::text, $1, $2)::json WHERE event_type = 'SyncRequested'";
    sqlx::query(asked).bind(own).bind(theirs).execute(&world.pool).await?;
    let dispatcher = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(described(&world, 8233).await?, Vec::<String>::new());
    let viewer = Api::of(&others).await?.as_caller(&world, ORG, Some(ACCOUNT), "viewer")?;
    let explained = viewer.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?;
    let told = explained.json();
    let sync = &told["sync"];
    assert_eq!((&sync["outcome"], &sync["differences"]), (&json!("rejected"), &Value::Null), "{told:#}");
    for field in ["detail", "differences_missing"] {
        let words = sync[field].to_string();
        assert!(words.contains("is of an account that this listing takes nothing from"), "{told:#}");
    }
    assert!(!explained.text.contains(THEIRS), "{told:#}");

    published(&world, of("villa-000", ACCOUNT, 3, "ours again")).await?;
    assert_eq!(described(&world, 8233).await?, ["ours again"]);
    drop((others, dispatcher));
    world.close().await
}
