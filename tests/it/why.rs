//! Why a listing stands as it does, told of what was really sent: which fields, which calls, which rules; and drift, seen where
//! somebody edits the channel by hand, and healed.

use std::time::Duration;

use anyhow::{Context, ensure};
use domain::ids::{ListingId, TargetId};
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::unit;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) fn priced(name: &str, revision: u64, cleaning_fee: u64) -> Value {
    let mut message = unit(name, revision);
    message["unit"]["prices"]["cleaning_fee"] = json!(cleaning_fee);
    // Nights that are not past whenever this runs.
    let calendar = json!({ "first_night": "2030-01-01", "last_night": "2030-01-10", "available": true });
    message["unit"]["calendar"] = json!([calendar]);
    message
}

/// A listing that is in at the channel.
pub(crate) async fn listed(world: &World, target: TargetId, name: &str) -> anyhow::Result<ListingId> {
    world.publish(&[priced(name, 1, 4_000)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &[name.to_owned()]).await?[0];
    world.drained(Duration::from_secs(30)).await?;
    Ok(listing)
}

pub(crate) fn json_of(world: &World, arguments: &[&str]) -> anyhow::Result<(i32, Value)> {
    let (code, printed, said) = world.run(&[&["--output", "json"][..], arguments].concat())?;
    let value = serde_json::from_str(&printed).with_context(|| format!("{arguments:?}: {printed}{said}"))?;
    Ok((code, value))
}

/// Words as a page shows them to somebody who may do nothing: commands are set apart.
pub(crate) fn on_a_page(words: &str) -> String {
    let parts = words.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

pub(crate) async fn published(world: &World, message: Value) -> anyhow::Result<()> {
    let revision = message["revision"].as_i64().unwrap_or_default();
    world.publish(&[message]).await?;
    world.taken(1, revision).await?;
    world.drained(Duration::from_secs(60)).await
}

/// Edits a listing at the channel, as somebody does in its dashboard.
pub async fn edit(world: &World, account: u64, path: &str, body: &Value) -> anyhow::Result<()> {
    by_hand(world, account, Method::PUT, path, body).await
}

pub(crate) async fn by_hand(
    world: &World,
    account: u64,
    method: Method,
    path: &str,
    body: &Value,
) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    let form =
        format!("grant_type=client_credentials&client_id={account}&client_secret=secret-{account}&scope=general");
    let token = client
        .post(format!("{}/v1/accessTokens", world.sandbox.url))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form);
    let token: Value = token.send().await?.json().await?;
    // A fresh token is refused for a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let token = token["access_token"].as_str().context("a token")?;
    let url = format!("{}/v1{path}", world.sandbox.url);
    let edited = client.request(method, url).bearer_auth(token).json(body).send().await?;
    let answer: Value = edited.json().await?;
    ensure!(answer["status"] == "success", "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_explained_from_its_field_to_the_channels_answer() -> anyhow::Result<()> {
    let world = World::new(&[7800]).await?;
    let target = world.target(7800, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    // What would be sent is what is sent then, and to ask costs nothing.
    let said = json!({ "status": "fail", "result": "held by jane@example.com", "guestName": "Jane Doe", "guests": 2 });
    let fault = json!({"kind": "status", "code": 503, "account": 7800, "method": "PUT", "count": 1, "body": said});
    world.sandbox.fault(fault).await?;
    published(&world, priced("villa-000", 2, 5_500)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let sync = &told["sync"];
    assert_eq!(
        (&sync["outcome"], &sync["revision"], &sync["needs"]),
        (&json!("accepted"), &json!(2), &json!(["content"]))
    );
    let difference = json!({ "path": "listing.cleaningFee", "change": "changed", "before": 40.0, "after": 55.0 });
    assert_eq!(sync["differences"], json!([{ "section": "content", "count": 1, "fields": [difference] }]));
    assert_eq!((&sync["by"]["actor"], &sync["compared_with"]["certain"]), (&json!("service:intake"), &json!(true)));
    assert_eq!(sync["compared_with"]["snapshots"].as_array().map(Vec::len), Some(1), "the one before, not its own");
    let ends: Vec<_> =
        sync["attempts"].as_array().context("attempts")?.iter().map(|one| one["class"].clone()).collect();
    assert_eq!(ends.last(), Some(&json!("accepted")));
    assert!(["unknown", "transient"].map(|class| json!(class)).contains(&ends[0]), "{ends:?}");
    let call = &sync["attempts"][0]["calls"][0];
    assert_eq!((&call["method"], &call["status"], &call["purpose"]), (&json!("PUT"), &json!(503), &json!("content")));
    // What the channel answered is kept of the call that failed, in the journal alone and without whose it was.
    let answer = json!(r#"{"status":"fail","result":"held by •••","guestName":"•••","guests":2}"#);
    assert_eq!((&call["answer"], &sync["attempts"][1]["calls"][0]["answer"]), (&answer, &Value::Null), "{sync}");
    let id = sync["sync_id"].as_str().context("a sync")?;
    let (_, audited) = json_of(&world, &["audit", "show", id])?;
    let answers = |of: &Value| {
        of["attempts_made"].as_array().map(|all| all.iter().map(|one| one["answer"].clone()).collect::<Vec<_>>())
    };
    assert_eq!(answers(&audited).as_deref().and_then(<[Value]>::first), Some(&answer), "{audited}");
    let (_, printed, _) = world.run(&["audit", "show", id])?;
    assert!(printed.contains("answered") && printed.contains("guestName") && !printed.contains("Jane"), "{printed}");
    assert_eq!(world.count("SELECT count(*) FROM events WHERE payload::text LIKE '%Jane%'").await?, 0);
    // On a busy machine the second attempt waits for more than the second that is worth a reason.
    let rules = told["rules"].as_array().context("rules")?.iter().filter(|rule| rule["rule"] != "waited_again");
    let rules: Vec<_> = rules.collect();
    assert_eq!(rules.iter().map(|rule| &rule["rule"]).collect::<Vec<_>>(), [&json!("waited"), &json!("retried")]);
    assert_eq!((&rules[1]["attempt"], &rules[1]["of"]), (&json!(1), &json!(5)));
    assert_eq!(told["next"]["step"], "nothing");
    let people =
        told["words"].as_array().context("words")?.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n");
    for words in ["listing.cleaningFee: 40.0 -> 55.0", "retry 2 of 5 was due", ": 503, ", "the channel took content"] {
        assert!(people.contains(words), "{words}: {people}");
    }

    // A revision that changes nothing is skipped, and the one before can still be asked about.
    published(&world, priced("villa-000", 3, 5_500)).await?;
    let (_, skipped) = json_of(&world, &["explain", &listing])?;
    assert_eq!(skipped["rules"], json!([{ "rule": "skipped_unchanged", "at_attempt": false }]));
    assert_eq!(skipped["sync"]["differences"], json!([]));
    let words = skipped["words"].to_string();
    for said in ["It was for revision 3 of the unit", "its newest sync has ended: skipped, as nothing differed"] {
        assert!(words.contains(said), "{said}: {skipped:#}");
    }
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let shown = api.get(&format!("/api/channels/audit/{id}")).await?.expect(200)?.json();
    assert_eq!(answers(&shown), answers(&audited));
    let path = format!("/api/channels/listings/{listing}/explain");
    let same = format!("{path}?sync_id={}", sync["sync_id"].as_str().context("a sync")?);
    let same = api.get(&same).await?.expect(200)?.json();
    assert_eq!((&same["sync"], &same["rules"]), (sync, &told["rules"]));
    let refused = api.get(&format!("{path}?sync_id={}", uuid::Uuid::now_v7())).await?.expect(400)?;
    let route = format!("`GET /api/channels/audit?listing_id={listing}`");
    assert!(refused.text.contains(&route), "whoever asks over HTTP is led on there: {}", refused.text);
    assert_eq!(refused.json()["field"], json!("sync_id"));
    // What was due is no more than that: something may have held it.
    let page = api.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    assert!(page.contains("Due again at ") && !page.contains("Tried again at"), "{page}");
    drop(service);
    world.close().await
}

/// What somebody asked for is sent in full, also where a change of the unit takes its place, and that is how it is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_the_place_of_a_forced_sync_is_told_as_forced() -> anyhow::Result<()> {
    let world = World::new(&[7806]).await?;
    let target = world.target(7806, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let pause = ["listing", "pause", &listing, "--reason", "works on the roof"];
    let sync = ["listing", "sync", &listing, "--reason", "edited by hand"];
    for arguments in [&pause, &sync] {
        let (code, _, said) = world.run(arguments)?;
        assert_eq!(code, 0, "{said}");
    }
    world.publish(&[priced("villa-000", 2, 5_500)]).await?;
    world.taken(1, 2).await?;
    world.waits(2).await?;
    let all = json!(["availability", "rates", "content", "images"]);
    let (_, queue) = json_of(&world, &["queue"])?;
    assert_eq!(queue["work"][0]["needs"], all, "{queue}");
    let (_, preview) = json_of(&world, &["listing", "preview", &listing])?;
    assert_eq!((&preview["forced"], &preview["sections"]), (&json!(true), &all), "{preview}");
    assert!(preview["words"].to_string().contains("whatever the channel has"), "{preview}");
    let (code, _, said) = world.run(&["listing", "resume", &listing])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let sync = &told["sync"];
    assert_eq!((&sync["cause"], &sync["forced"]), (&json!("unit_changed"), &json!(true)), "{told:#}");
    let (_, audited) = json_of(&world, &["audit", "show", sync["sync_id"].as_str().context("a sync")?])?;
    assert_eq!((&sync["needs"], &audited["needs"]), (&all, &all), "{audited}");
    assert_eq!(
        (&told["rules"][0], &told["rules"][1]["rule"]),
        (&json!({ "rule": "stays_forced" }), &json!("took_place_of"))
    );
    let took = sync["attempts"][0]["took"].as_array().map(Vec::len);
    assert_eq!(took, Some(4), "all of it was sent: {sync:#}");
    let (_, preview) = json_of(&world, &["listing", "preview", &listing])?;
    assert_eq!((&preview["forced"], &preview["sections"]), (&json!(false), &json!([])), "{preview}");
    assert!(told["words"].to_string().contains("so was an earlier sync to be that had not ended"), "{told:#}");
    world.close().await
}

/// Where a change came from is told as its publisher names itself; a name that is none counts as none, as before there were any.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_with_what_published_it() -> anyhow::Result<()> {
    let world = World::new(&[7810]).await?;
    let target = world.target(7810, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (bookings, too_long) = ("urn:sunstay:bookings", "x".repeat(201));
    for (revision, given, told) in
        [(2, Some(bookings), Some(bookings)), (3, Some(too_long.as_str()), None), (4, None, None)]
    {
        let mut headers = async_nats::HeaderMap::new();
        if let Some(given) = given {
            headers.insert("ce-source", given);
        }
        let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &"villa-000".parse()?);
        let message = priced("villa-000", revision, 5_000 + revision);
        world.publish_with(subject, headers, serde_json::to_vec(&message)?).await?;
        world.taken(1, i64::try_from(revision)?).await?;
        world.drained(Duration::from_secs(60)).await?;
        let (_, explained) = json_of(&world, &["explain", &listing])?;
        assert_eq!(explained["sync"]["by"]["source"], json!(told), "{explained:#}");
        let words = explained["words"].to_string();
        let why = told.map(|source| format!("because of a unit change from {source}."));
        assert!(words.contains(why.as_deref().unwrap_or("because the unit changed.")), "{words}");
    }
    let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    assert_eq!(page.matches("unit change from urn:sunstay:bookings").count(), 1, "{page}");
    let (_, history, _) = world.run(&["listing", "history", &listing])?;
    let told = "service:intake, unit change from urn:sunstay:bookings";
    assert_eq!((history.matches(told).count(), history.matches("unit change from").count()), (1, 1), "{history}");
    // Both tell the same of who did it: who called for it stands beside who acts.
    let sync = ["--as", "ops@example.org", "listing", "sync", &listing, "--reason", "edited by hand"];
    let (code, _, said) = world.run(&sync)?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(60)).await?;
    let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    let (_, history, _) = world.run(&["listing", "history", &listing])?;
    for told in ["service:dispatcher on behalf of ops@example.org", "service:dispatcher on behalf of service:intake"] {
        assert!(page.contains(&format!("by {told}")) && history.contains(told), "{told}: {page}{history}");
    }
    the_rest_of_a_history_is_named(&world, &listing)?;
    drop(service);
    world.close().await
}

/// Who sees a part of it is told how to see all; programs are told nothing that they have not asked for.
fn the_rest_of_a_history_is_named(world: &World, listing: &str) -> anyhow::Result<()> {
    let (_, printed, _) = world.run(&["--output", "json", "listing", "history", listing])?;
    let all = serde_json::from_str::<Vec<Value>>(&printed)?.len().to_string();
    let (_, table, said) = world.run(&["listing", "history", listing, "--limit", "2"])?;
    assert_eq!(table.lines().count(), 3, "a head and two events: {table}");
    assert!(said.contains(&format!("shown: the newest 2 of {all} events; --limit {all} gives more")), "{said}");
    for further in [&["--limit", all.as_str()][..], &["--limit", "2", "--output", "json"]] {
        let (_, _, said) = world.run(&[&["listing", "history", listing][..], further].concat())?;
        assert!(!said.contains("shown:"), "{further:?}: {said}");
    }
    Ok(())
}

/// What it took before it was unlinked is at the channel still.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_takes_a_listing_up_again_tells_what_differs_from_what_it_had() -> anyhow::Result<()> {
    let world = World::new(&[7812]).await?;
    let target = world.target(7812, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (code, _, said) = world.run(&["listing", "unlink", &listing, "--reason", "for a while"])?;
    assert_eq!(code, 0, "{said}");
    let (_, told, _) = world.run(&["explain", &listing])?;
    assert!(told.contains("Next: nothing, until it is linked again (it was unlinked"), "{told}");
    world.publish(&[priced("villa-000", 2, 5_500)]).await?;
    world.taken(1, 2).await?;
    world.link(target, &["villa-000".to_owned()]).await?;
    world.drained(Duration::from_secs(30)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let differs = told["sync"]["differences"].as_array().cloned().unwrap_or_default();
    let counts: Vec<_> = differs.iter().map(|section| (&section["section"], &section["count"])).collect();
    assert_eq!(counts, [(&json!("content"), &json!(1))], "{told:#}");
    assert_eq!(told["sync"]["compared_with"]["certain"], json!(false), "{told:#}");
    let words = told["words"].to_string();
    assert!(words.contains("It was unlinked since, and what the channel has of it is not followed"), "{words}");
    assert!(!words.contains("nobody knows what it wrote"), "no call had ended so: {words}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_what_is_sent_then_and_costs_no_call_and_no_event() -> anyhow::Result<()> {
    let world = World::new(&[7801]).await?;
    let target = world.target(7801, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let first = json_of(&world, &["explain", &listing])?.1["sync"]["sync_id"].as_str().context("a sync")?.to_owned();
    published(&world, priced("villa-000", 2, 5_500)).await?;
    let counted = async || {
        let events = world.count("SELECT count(*) FROM events").await?;
        anyhow::Ok((events, world.sandbox.arrivals(7801).await?.len()))
    };
    let before = counted().await?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let path = format!("/api/channels/listings/{listing}/preview");
    let now = api.get(&path).await?.expect(200)?.json();
    assert_eq!((&now["sections"], &now["calls_at_least"]), (&json!([]), &json!(0)), "the channel has it all");
    let back = api.get(&format!("{path}?sync_id={first}")).await?.expect(200)?.json();
    assert_eq!(back["sections"], json!(["availability", "rates", "content", "images"]));
    let difference = json!({ "path": "listing.cleaningFee", "change": "changed", "before": 55.0, "after": 40.0 });
    assert_eq!(back["differences"], json!([{ "section": "content", "count": 1, "fields": [difference] }]));
    api.get(&format!("{path}?sync_id={first}&position=1")).await?.expect(400)?;
    assert_eq!(counted().await?, before, "nothing was sent, and nothing was written");

    let retry = json!({ "sync_id": first, "reason": "back to the first price" });
    api.post(&format!("/api/channels/listings/{listing}/retry"), &retry).await?.expect(403)?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    owner.post(&format!("/api/channels/listings/{listing}/retry"), &retry).await?.expect(202)?;
    world.drained(Duration::from_secs(30)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!(told["sync"]["differences"], back["differences"]);
    let calls = told["sync"]["attempts"][0]["calls"].as_array().map_or(0, Vec::len) as u64;
    assert!(back["calls_at_least"].as_u64().is_some_and(|least| least >= 2 && least <= calls), "{back} {calls}");
    drop(service);
    world.close().await
}

/// Rows of a list are named by what they are known by, as in an explanation; one that the channel refused is known by its list.
#[tokio::test(flavor = "multi_thread")]
async fn drift_names_rows_as_an_explanation_does() -> anyhow::Result<()> {
    let world = World::new(&[7866]).await?;
    let target = world.target(7866, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let ignoring = json!({ "kind": "ignore_writes", "method": "PUT", "path_pattern": "/v1/listings/*", "count": 1 });
    world.sandbox.fault(ignoring).await?;
    let mut more = priced("villa-000", 2, 4_000);
    more["unit"]["amenities"].as_array_mut().context("amenities")?.push(json!("bbq"));
    published(&world, more).await?;
    let (_, explained) = json_of(&world, &["explain", &listing])?;
    assert_eq!(explained["sync"]["differences"][0]["fields"][0]["path"], "listing.listingAmenities[amenityId=44]");
    let paths = |drift: &Value| -> Vec<(String, bool)> {
        let fields = drift["differences"][0]["fields"].as_array().cloned().unwrap_or_default();
        let told = |field: &Value| (field["path"].as_str().unwrap_or_default().to_owned(), field["expected"] == true);
        fields.iter().map(told).collect()
    };
    let row = |id: u32, expected: bool| (format!("listing.listingAmenities[amenityId={id}]"), expected);
    let (code, drift) = json_of(&world, &["listing", "drift", &listing])?;
    assert_eq!((code, paths(&drift)), (0, vec![row(44, true)]), "{drift:#}");

    let external = drift["external_id"].as_str().context("an id")?.to_owned();
    let theirs = json!({ "listingAmenities": [{ "amenityId": 3 }, { "amenityId": 12 }] });
    edit(&world, 7866, &format!("/listings/{external}"), &theirs).await?;
    let (code, drift) = json_of(&world, &["listing", "drift", &listing])?;
    let mut wanted: Vec<_> = [4, 6, 7, 8].map(|id| row(id, false)).into();
    wanted.extend([row(44, true), row(46, false), row(12, false)]);
    assert_eq!((code, paths(&drift)), (1, wanted), "{drift:#}");
    let words = drift["words"].to_string();
    assert!(words.contains("listing.listingAmenities[amenityId=12] (Gym): new, "), "{words}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_at_the_channel_is_seen_as_drift_and_healed_by_a_sync() -> anyhow::Result<()> {
    let world = World::new(&[7802]).await?;
    let target = world.target(7802, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (code, drift) = json_of(&world, &["listing", "drift", &listing])?;
    assert_eq!((code, &drift["in_line"], &drift["differences"]), (0, &json!(true), &json!([])), "{drift}");
    assert_eq!(drift["sections"], json!(["availability", "rates", "content", "images"]));
    let external = drift["external_id"].as_str().context("an id")?.to_owned();

    // The channel says the target's own secret back.
    let theirs = json!({ "name": "Edited by hand with secret-7802", "wifiUsername": "not ours" });
    edit(&world, 7802, &format!("/listings/{external}"), &theirs).await?;
    let nights = json!({ "startDate": "2030-01-01", "endDate": "2030-01-02", "price": 1.0 });
    edit(&world, 7802, &format!("/listings/{external}/calendar"), &nights).await?;
    let events = world.count("SELECT count(*) FROM events").await?;
    let (code, drift) = json_of(&world, &["listing", "drift", &listing])?;
    assert_eq!((code, &drift["in_line"]), (1, &json!(false)), "{drift}");
    let rates = &drift["differences"][0];
    assert_eq!((&rates["section"], &rates["fields"][0]["nights"]["count"]), (&json!("rates"), &json!(2)), "{drift}");
    let found = &drift["differences"][1];
    assert_eq!((&found["section"], &found["count"]), (&json!("content"), &json!(1)), "{drift}");
    let field = &found["fields"][0];
    assert_eq!((&field["path"], &field["after"]), (&json!("listing.name"), &json!("Edited by hand with •••")));
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "channel-publisher")?;
    let same =
        api.send(Method::POST, &format!("/api/channels/listings/{listing}/drift"), &[], None).await?.expect(200)?;
    assert_eq!(same.json()["differences"], drift["differences"]);
    let (_, words, _) = world.run(&["listing", "drift", &listing])?;
    assert!(words.contains("Edited by hand with •••"), "{words}");
    for told in [words, same.text, drift.to_string()] {
        assert!(!told.contains("secret-7802"), "{told}");
    }
    assert_eq!(world.count("SELECT count(*) FROM events").await?, events, "a look changes nothing");

    let (code, _, said) = world.run(&["listing", "sync", &listing, "--reason", "edited at the channel"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    let (code, drift) = json_of(&world, &["listing", "drift", &listing])?;
    assert_eq!((code, &drift["differences"]), (0, &json!([])), "{drift}");

    // What no sync can heal is told as what it is.
    let archive = format!("/accounts/7802/listings/{external}/archive");
    for archived in [true, false] {
        world.sandbox.send(Method::PUT, &archive, &json!({ "archived": archived })).await?;
        let (code, drift) = json_of(&world, &["listing", "drift", &listing])?;
        assert_eq!((code, &drift["archived"]), (i32::from(archived), &json!(archived)), "{drift}");
        let words = drift["words"].to_string();
        assert_eq!(words.contains("out of the archive"), archived, "{words}");
    }
    by_hand(&world, 7802, Method::DELETE, &format!("/listings/{external}"), &json!({})).await?;
    let (code, drift) = json_of(&world, &["listing", "drift", &listing])?;
    assert_eq!((code, &drift["gone"], &drift["in_line"]), (1, &json!(true), &json!(false)), "{drift}");
    assert!(drift["words"].to_string().contains("--afresh"), "{drift}");

    // Held targets are not called, whoever asks.
    let (code, _, _) = world.run(&["target", "pause", &target.to_string(), "--reason", "test"])?;
    assert_eq!(code, 0);
    let calls = world.sandbox.arrivals(7802).await?.len();
    let (code, _, said) = world.run(&["listing", "drift", &listing])?;
    assert_eq!((code, said.contains("the target is paused")), (1, true), "{said}");
    assert_eq!(world.sandbox.arrivals(7802).await?.len(), calls);
    drop(service);
    world.close().await
}

/// Of a call whose answer was lost nobody knows what it wrote: the channel is read, and what it has is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_already_after_a_lost_answer_is_told_with_why_nothing_was_sent() -> anyhow::Result<()> {
    let world = World::new(&[7822]).await?;
    let target = world.target(7822, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let read_first = |told: &Value| {
        let rules = told["rules"].as_array().cloned().unwrap_or_default();
        rules.into_iter().find(|rule| rule["rule"] == "read_first")
    };
    let cut = |kind: &str| json!({"kind": kind, "account": 7822, "method": "PUT", "count": 1});
    world.sandbox.fault(cut("cut_after")).await?;
    published(&world, priced("villa-000", 2, 5_500)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let rule = read_first(&told).with_context(|| format!("{told:#}"))?;
    assert_eq!(rule["there"], json!(["content"]), "{told:#}");
    let call = &told["sync"]["attempts"][1]["calls"][0];
    assert_eq!((&call["purpose"], &rule["at"]), (&json!("read_back"), &call["started_at"]), "{told:#}");
    let words = told["words"].to_string();
    assert!(words.contains("so the channel was read before anything was sent, "), "{words}");
    assert!(words.contains("; it had content already, so that was not sent again."), "{words}");
    // Where the call had not gone through, it is read in the same way, and sent.
    world.sandbox.fault(cut("cut_before")).await?;
    published(&world, priced("villa-000", 3, 6_000)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!(read_first(&told).map(|rule| rule["there"].clone()), Some(json!([])), "{told:#}");
    assert!(!told["words"].to_string().contains("had content already"), "{told:#}");
    // And once all is known, nothing is read before it is sent.
    published(&world, priced("villa-000", 4, 6_500)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!(read_first(&told), None, "{told:#}");
    world.close().await
}

/// A listing is looked for before it is created. That is told as a read for what nobody knew only where something was not known.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_before_a_creation_is_told_as_that_and_rules_stand_in_the_order_of_time() -> anyhow::Result<()> {
    let world = World::new(&[7828]).await?;
    let target = world.target(7828, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    // On a busy machine, and for a new token, it waits for more than the second that is worth a reason.
    let rules = |told: &Value| -> Vec<String> {
        let names = told["rules"].as_array().cloned().unwrap_or_default().into_iter();
        let names = names.map(|rule| rule["rule"].as_str().unwrap_or_default().to_owned());
        names.filter(|name| name != "waited_again").collect()
    };
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!(rules(&told), ["waited", "created"], "{told:#}");
    let calls = told["sync"]["attempts"][0]["calls"].as_array().context("calls")?;
    assert!(calls.iter().any(|call| call["purpose"] == "lookup"), "{told:#}");
    assert!(!told["words"].to_string().contains("Nobody knew"), "{told:#}");
    let sync = told["sync"]["sync_id"].as_str().context("a sync")?;
    let page = viewer.get(&format!("/syncs/{sync}")).await?.expect(200)?.text;
    assert!(!page.contains("cannot be made again"), "{page}");

    // The listing is made, and nobody hears of it: once that call can no longer arrive it is looked for.
    let lost = json!({"kind": "cut_after", "method": "POST", "path_prefix": "/v1/listings", "count": 1});
    world.sandbox.fault(lost).await?;
    world.publish(&[priced("villa-001", 1, 4_000)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-001".to_owned()]).await?[0].to_string();
    world.drained(Duration::from_secs(90)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let names = rules(&told);
    let first = |wanted: &str| names.iter().position(|name| name == wanted).with_context(|| format!("{told:#}"));
    assert!(first("created")? < first("retried")? && first("retried")? < first("read_first")?, "{told:#}");
    assert!(told["words"].to_string().contains("Nobody knew what an earlier attempt had written"), "{told:#}");
    drop(service);
    world.close().await
}

/// Hostaway refuses some of what it validates with HTTP 200, and says in the body that it failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_with_a_status_of_success_is_told_as_one() -> anyhow::Result<()> {
    let world = World::new(&[7819]).await?;
    let target = world.target(7819, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let said = json!({ "status": "fail", "result": "cleaningFee is not allowed" });
    world.sandbox.fault(json!({"kind": "status", "code": 200, "account": 7819, "method": "PUT", "body": said})).await?;
    published(&world, priced("villa-000", 2, 5_500)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!(told["sync"]["outcome"], json!("rejected"), "{told:#}");
    let (code, drift) = json_of(&world, &["listing", "drift", &listing])?;
    let with = &drift["compared_with"];
    assert_eq!((code, &drift["in_line"], &with["certain"]), (0, &json!(true), &json!(true)), "{drift:#}");
    let refused = &with["refused"][0];
    let wanted = (&json!("content"), &json!(200), &json!(true));
    assert_eq!((&refused["section"], &refused["status"], &refused["certain"]), wanted, "{drift:#}");
    let words = drift["words"].to_string();
    assert!(words.contains("what it took last") && words.contains("HTTP 200, told as a failure"), "{words}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_for_drift_in_many_processes_keep_to_the_targets_window() -> anyhow::Result<()> {
    let world = World::new(&[7803]).await?;
    let target = world.target(7803, RateLimit::new(100, 1_000)?).await?;
    let mut service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (code, _, said) = world.run(&["target", "rate-limit", &target.to_string(), "3/2s"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    // Without a dispatcher: the command line takes its slots by itself, by the limit that holds now.
    service.kill();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let since = world.sandbox.arrivals(7803).await?.len();
    let codes = std::thread::scope(|scope| {
        let run = || world.run(&["listing", "drift", &listing]).map(|(code, _, _)| code);
        let running: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|one| one.join().expect("a thread ends")).collect::<anyhow::Result<Vec<i32>>>()
    })?;
    assert_eq!(codes, [0; 4]);
    let times: Vec<u64> =
        world.sandbox.arrivals(7803).await?[since..].iter().filter_map(|one| one["at_us"].as_u64()).collect();
    // A token, the nights and the listing, of each.
    assert_eq!(times.len(), 12);
    let worst =
        times.iter().map(|start| times.iter().filter(|at| (*start..*start + 2_000_000).contains(at)).count()).max();
    assert_eq!(worst, Some(3), "{times:?}");
    world.close().await
}
