//! What the doctor says of streams and of the intake's consumer that somebody has changed by hand.

use adapters::nats::topology::StreamKind;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::DiscardPolicy;

use crate::world::World;

/// Status, detail and advice of a check.
fn found(world: &World, check: &str) -> [String; 3] {
    let report = world.json(&["doctor"]).json();
    let found = report["checks"].as_array().unwrap().iter().find(|found| found["check"] == check);
    let found = found.unwrap_or_else(|| panic!("{check} is looked at: {report}"));
    ["status", "detail", "advice"].map(|field| found[field].as_str().unwrap_or_default().to_owned())
}

/// Makes the streams and the intake's consumer, or brings them to their definitions, and asks the doctor.
fn are_as_defined_once_set_up(world: &World) {
    world.block_on(async {
        let nats = world.nats().await;
        nats.ensure_streams().await.unwrap();
        nats.ensure_intake().await.unwrap();
    });
    for check in ["streams", "consumer"] {
        let [status, detail, _] = found(world, check);
        assert_eq!((status.as_str(), detail.as_str()), ("ok", "as defined"), "{check}");
    }
}

#[test]
fn the_doctor_names_each_setting_that_is_not_as_defined_and_what_to_do() {
    let world = World::new();
    are_as_defined_once_set_up(&world);

    let refused = world.block_on(async {
        let nats = world.nats().await;
        let mut letters = nats.stream_config(StreamKind::DeadLetters).unwrap();
        letters.max_messages = 20;
        letters.discard = DiscardPolicy::Old;
        nats.jetstream.update_stream(letters).await.unwrap();
        // Made anew, as what it begins with cannot be changed.
        let units = nats.stream(StreamKind::Units).await.unwrap();
        units.delete_consumer("intake").await.unwrap();
        let new = pull::Config {
            durable_name: Some("intake".to_owned()),
            deliver_policy: DeliverPolicy::New,
            max_ack_pending: 10_000,
            ..pull::Config::default()
        };
        units.create_consumer(new).await.unwrap();
        nats.ensure_intake().await.expect_err("NATS refuses it").to_string()
    });
    let changed = "deliver_policy is new, and is to be all";
    assert!(refused.contains(changed) && refused.contains("`distribution unit reread`"), "{refused}");
    let [status, detail, advice] = found(&world, "streams");
    let told = "-DEAD_LETTERS: discard is old, and is to be new; max_msgs is 20, and is to be -1";
    assert!(status == "fail" && detail.ends_with(told), "{status} {detail}");
    assert!(advice.contains("`distribution serve`") && advice.contains("ON_CALL.md"), "{advice}");
    let [status, detail, advice] = found(&world, "consumer");
    assert_eq!((status.as_str(), detail), ("fail", format!("intake: {changed}")));
    assert!(advice.contains("`distribution unit reread`"), "{advice}");
    assert_eq!(found(&world, "dead letters")[1], "none", "the rest is looked at all the same");

    world.run(&["unit", "reread"]).ok();
    are_as_defined_once_set_up(&world);
}
