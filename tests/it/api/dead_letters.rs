//! Dead letters of one organisation, page by page, and who decided what about them.

use std::time::Duration;

use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn each_organisation_pages_through_its_own_and_every_decision_has_its_actor() -> anyhow::Result<()> {
    let world = World::new(&[8170]).await?;
    let service = world.serve("api,intake")?;
    let anybody = Api::of(&service).await?;
    let api = anybody.as_caller(&world, ORG, None, "owner")?;
    let sent =
        r#"{ "guestName": "Jane Doe", "guest": { "email": "jane.doe@example.com" }, "phone": "+62 812 3456 7890" }"#;
    for number in 0..6 {
        let org = if number % 2 == 0 { ORG } else { "elsewhere" };
        let subject = world.nats.prefix.unit_changed(&org.parse()?, &format!("villa-{number}").parse()?);
        world.publish_raw(subject, sent.into()).await?;
    }
    wait_until("all are dead letters", Duration::from_secs(20), || async {
        let letters = world.nats.dead_letter_count().await?;
        Ok(if letters == 6 { Ok(()) } else { Err(format!("{letters} letters")) })
    })
    .await?;
    let subjects = |page: &serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["subject"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let first = api.get("/api/channels/dead-letters?limit=2").await?.expect(200)?.json();
    assert_eq!(subjects(&first).len(), 2);
    let cursor = first["next_cursor"].as_str().unwrap_or_default();
    let second = api.get(&format!("/api/channels/dead-letters?limit=2&cursor={cursor}")).await?.expect(200)?.json();
    assert_eq!((subjects(&second).len(), &second["next_cursor"]), (1, &json!(null)));
    assert!(subjects(&first).iter().chain(&subjects(&second)).all(|subject| subject.contains(ORG)));

    let told = [first.to_string(), second.to_string()].concat();
    assert!(["Jane", "jane.doe", "812 3456"].iter().all(|guest| !told.contains(guest)), "{told}");
    assert!(first["items"][0]["body"].as_str().is_some_and(|body| body.contains("guestName")), "{first}");

    let number = first["items"][0]["number"].as_u64().unwrap_or_default();
    // What is sent again is what came.
    assert_eq!(world.nats.dead_letter(number).await?.payload(), sent.as_bytes());
    let path = format!("/api/channels/dead-letters/{number}");
    let foreign = anybody.as_caller(&world, "elsewhere", None, "owner")?;
    foreign.send(Method::DELETE, &path, &[], None).await?.expect(404)?;
    api.send(Method::DELETE, &path, &[], None).await?.expect(204)?;
    api.send(Method::DELETE, &path, &[], None).await?.expect(404)?;
    let decided = api.get("/api/channels/dead-letters/decisions").await?.expect(200)?.json();
    let row = &decided["items"][0];
    assert_eq!((&row["number"], &row["decision"]), (&json!(number), &json!("discarded")));
    assert_eq!(row["decided_by"], json!(format!("owner-of-{ORG}")));
    assert!(row["credential"].as_str().is_some_and(|credential| credential.starts_with("local_token ")), "{row}");
    let elsewhere = foreign.get("/api/channels/dead-letters/decisions").await?.expect(200)?.json();
    assert_eq!(elsewhere["items"], json!([]));
    drop(service);
    world.close().await
}
