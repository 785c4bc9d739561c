//! `listing link --external-id`: which listing at the channel is taken, kept, replaced and refused.

use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::service::{Service, eventually};
use crate::world::{NOWHERE, Ran, World, unit};

/// A target and two units.
struct Story {
    world: World,
    target: String,
}

fn story() -> Story {
    let world = World::new();
    world.keep(unit("villa-1", 1));
    world.keep(unit("villa-2", 1));
    let target = world.target("Bali");
    Story { world, target }
}

impl Story {
    fn link(&self, unit: &str, how: &[&str]) -> Ran {
        let head = ["listing", "link", "--target", &self.target, "--unit", unit];
        self.world.json(&[&head[..], how].concat())
    }

    fn linked(&self, unit: &str, how: &[&str]) -> String {
        listing_of(self.link(unit, how))
    }

    /// At another target.
    fn linked_at(&self, target: &str, unit: &str, external: &str) -> String {
        let link = ["listing", "link", "--target", target, "--unit", unit, "--external-id", external];
        listing_of(self.world.json(&link))
    }

    fn projected(&self) {
        eventually("all was projected", || {
            let lags = self.world.json(&["projections", "list"]).ok().json();
            lags.as_array().unwrap().iter().all(|lag| lag["behind_events"] == 0).then_some(())
        });
    }

    fn unlink(&self, listing: &str) {
        self.world.run(&["listing", "unlink", listing, "--reason", "sold"]).ok();
    }

    fn at_channel(&self, listing: &str) -> Value {
        self.world.json(&["listing", "show", listing]).ok().json()["external_id"].clone()
    }
}

fn listing_of(ran: Ran) -> String {
    ran.ok().json()[0]["listing_id"].as_str().unwrap().to_owned()
}

fn error(ran: &Ran) -> String {
    assert_eq!(ran.code, 1, "{ran:?}");
    ran.json()[0]["error"].as_str().unwrap().to_owned()
}

#[test]
fn an_id_that_the_channel_cannot_have_given_is_refused_by_name() {
    let story = story();
    for wrong in ["abc", "51600x", "../51600", "-1", "", "123456789012345678901"] {
        let ran = story.link("villa-1", &[&format!("--external-id={wrong}")]);
        assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some("external_id")), "{ran:?}");
        assert!(ran.error_message().contains("a number such as 51600"), "{ran:?}");
    }
    assert_eq!(story.world.json(&["listing", "list"]).ok().json(), serde_json::json!([]));
}

#[test]
fn a_listing_at_the_channel_is_held_by_one_listing_of_the_target() {
    let story = story();
    let first = story.linked("villa-1", &["--external-id", "51600"]);
    let taken =
        format!("51600 at the channel is the listing of unit villa-1 ({first}): unlink that one, or give another id");
    assert_eq!(error(&story.link("villa-2", &["--external-id", "51600"])), taken);

    // What a person names at another target is that person's business.
    let elsewhere = story.linked_at(&story.world.target("Lombok"), "villa-2", "51600");
    story.unlink(&elsewhere);

    // What is unlinked gives it up; it is not taken back from whoever has it then.
    story.unlink(&first);
    let second = story.linked("villa-2", &["--external-id", "51600"]);
    assert!(error(&story.link("villa-1", &[])).starts_with("51600 at the channel is the listing of unit villa-2 "));
    story.unlink(&second);
    assert_eq!(story.linked("villa-1", &[]), first);
    assert_eq!(story.at_channel(&first), "51600");
}

/// Whether it is found again at the channel, with its old reference, is seen by its first sync, which writes there to none that is another's.
#[test]
fn a_unit_whose_listing_was_given_to_another_one_is_linked_afresh_and_holds_nothing() {
    let story = story();
    let first = story.linked("villa-1", &["--external-id", "51600"]);
    story.unlink(&first);
    let second = story.linked("villa-2", &["--external-id", "51600"]);
    assert!(error(&story.link("villa-1", &[])).contains(&second));
    assert_eq!(story.linked("villa-1", &["--afresh"]), first);
    assert_eq!((story.at_channel(&first), story.at_channel(&second)), (Value::Null, Value::from("51600")));
    // The one that it had once is not kept for it.
    story.unlink(&second);
    assert_eq!(story.linked("villa-2", &[]), second);
    assert_eq!(story.at_channel(&second), "51600");
}

#[test]
fn a_listing_that_the_read_models_know_is_held_as_well() {
    let story = story();
    let _service = Service::start(&story.world, "relay,projector");
    let first = story.linked("villa-1", &["--external-id", "51600"]);
    story.projected();
    assert!(error(&story.link("villa-2", &["--external-id", "51600"])).contains(&first));
}

/// Whoever has unlinked it has left it to others; nobody has named it since for two.
#[test]
fn what_another_target_of_the_account_holds_by_now_is_not_taken_up_again() {
    let story = story();
    let _service = Service::start(&story.world, "relay,projector");
    let other = story.world.target("Lombok");
    let first = story.linked("villa-1", &["--external-id", "51600"]);
    story.unlink(&first);
    let second = story.linked_at(&other, "villa-2", "51600");
    story.projected();
    let held = format!("51600 at the channel is the listing of unit villa-2 ({second}) at target {other} by now: ");
    let refused = error(&story.link("villa-1", &[]));
    assert!(refused.starts_with(&held) && refused.contains("unlink that one, "), "{refused}");
    assert!(refused.contains("afresh once that one was sent"), "it finds that one until then: {refused}");

    // Of two that are unlinked the first to come has it.
    story.unlink(&second);
    assert_eq!((story.linked("villa-1", &[]), story.at_channel(&first)), (first.clone(), Value::from("51600")));
    let back = story.world.json(&["listing", "link", "--target", &other, "--unit", "villa-2"]);
    assert!(error(&back).contains(&first), "{back:?}");

    // Of another organisation those count that the channel has taken, and nobody is told whose it is.
    story.unlink(&first);
    let others = story.world.target_of("others", "Java", &[]);
    let third = story.linked_at(&others, "villa-7", "51600");
    story.projected();
    assert_eq!(story.linked("villa-1", &[]), first, "anybody can name an account and an id");
    story.unlink(&first);
    story.projected();
    story.world.block_on(async {
        let mut connection = PgConnection::connect(&story.world.database_url).await.unwrap();
        let healthy = "UPDATE channel_targets SET health = 'healthy' WHERE target_id::text = $1";
        let taken = sqlx::query(healthy).bind(&others).execute(&mut connection).await.unwrap();
        assert_eq!(taken.rows_affected(), 1);
    });
    let refused = error(&story.link("villa-1", &[]));
    assert!(refused.contains("51600") && refused.contains("another listing at this channel account"), "{refused}");
    for told in [third.as_str(), others.as_str(), "villa-7", "Java"] {
        assert!(!refused.contains(told), "{refused}");
    }
    assert_eq!(story.linked("villa-1", &["--afresh"]), first);
    assert_eq!(story.at_channel(&first), Value::Null);
}

/// An attempt of another target of the account may be recording it just then.
#[test]
fn what_is_taken_up_again_waits_for_whoever_learns_its_id_and_not_for_long() {
    let story = story();
    let first = story.linked("villa-1", &["--external-id", "51600"]);
    story.unlink(&first);
    let holding = story.world.block_on(async {
        let mut connection = PgConnection::connect(&story.world.database_url).await.unwrap();
        let learned = format!("learned/account:hostaway/{NOWHERE}/10450/51600");
        let lock = sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))").bind(learned);
        lock.execute(&mut connection).await.unwrap();
        connection
    });
    let refused = error(&story.link("villa-1", &[]));
    assert!(refused.contains("lock timeout"), "{refused}");
    story.world.block_on(holding.close()).unwrap();
    assert_eq!((story.linked("villa-1", &[]), story.at_channel(&first)), (first.clone(), Value::from("51600")));
}

/// What a person names at two targets of an account is linked, and these may be of organisations that do not know of one another: the operator
/// does.
#[test]
fn the_doctor_names_listings_that_write_to_one_at_the_channel() {
    let story = story();
    let _service = Service::start(&story.world, "relay,projector");
    let told = || {
        story.projected();
        let report = story.world.json(&["doctor"]).json();
        let found = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "listings").cloned();
        let found = found.unwrap();
        (found["status"].as_str().unwrap().to_owned(), found["detail"].as_str().unwrap().to_owned())
    };
    let first = story.linked("villa-1", &["--external-id", "51600"]);
    story.linked("villa-2", &["--external-id", "51700"]);
    let others = story.world.target_of("others", "Java", &[]);
    let away = story.world.target_of("others", "Sumatra", &[]);
    let further = ["target", "configure", &away, "--base-url", "http://127.0.0.1:10/v1"];
    story.world.run(&further).ok();
    story.linked_at(&away, "villa-1", "51600");
    assert_eq!(told().0, "ok", "the same number at another channel is another listing");
    let second = story.linked_at(&others, "villa-1", "51600");
    let (status, detail) = told();
    assert_eq!(status, "warn", "{detail}");
    assert!(detail.starts_with("51600 of account 10450 is written to by ") && detail.contains("of others"), "{detail}");
    assert!(detail.contains(&first) && detail.contains(&second) && detail.contains("target Java"), "{detail}");
    story.unlink(&second);
    assert_eq!(told().0, "ok");
}

#[test]
fn of_many_links_at_the_same_time_one_gets_the_listing() {
    let story = story();
    let names: Vec<String> = (1..=8).map(|n| format!("villa-{n}")).collect();
    let spawn = |name: &String| {
        let link = ["listing", "link", "--target", &story.target, "--unit", name, "--external-id", "51600"];
        story.world.command().args(link).stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = names.iter().map(spawn).collect();
    let ended = running.into_iter().map(|child| Ran::from(child.wait_with_output().unwrap()));
    assert_eq!(ended.filter(|ran| ran.code == 0).count(), 1);
}

#[test]
fn a_later_link_replaces_the_wrong_listing_or_leaves_it_behind() {
    let story = story();
    let listing = story.linked("villa-1", &["--external-id", "51600"]);
    let again = story.link("villa-1", &["--external-id", "51700"]);
    assert_eq!(error(&again), "this unit is linked to this target already");
    story.unlink(&listing);
    story.linked("villa-1", &["--external-id", "51700"]);
    assert_eq!(story.at_channel(&listing), "51700");
    story.unlink(&listing);
    story.linked("villa-1", &[]);
    assert_eq!(story.at_channel(&listing), "51700", "a link without an id takes up what there was");
    story.unlink(&listing);
    story.linked("villa-1", &["--afresh"]);
    assert_eq!(story.at_channel(&listing), Value::Null);
    assert_eq!(story.link("villa-1", &["--afresh", "--external-id", "1"]).code, 2);
}
