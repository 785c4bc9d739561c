//! The filters of the pages with lists: what is typed stays, what cannot be used is told beside its field, and things are named as people
//! have them at hand.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::{names, unit};
use end_to_end::world::{ORG, World};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What is told beside a field.
fn beside<'a>(page: &'a str, field: &str) -> &'a str {
    let told = page.split(&format!("id=\"{field}-wrong\">")).nth(1).and_then(|rest| rest.split('<').next());
    told.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_cannot_use_stays_in_its_form_and_is_told_beside_its_field() -> anyhow::Result<()> {
    let world = World::new(&[8138]).await?;
    world.target(8138, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("api,relay,projector")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    world.drained(Duration::from_secs(30)).await?;
    for (path, field, typed, right) in [
        ("/listings?state=paused&target_id=strict", "target_id", "strict", "give the name of one, or its id"),
        ("/audit?outcome=failed&target_id=strict", "target_id", "strict", "give the name of one, or its id"),
        ("/audit?outcome=failed&since=29+Nov+12%3A00", "since", "29 Nov 12:00", "in UTC, such as 2026-11-28 13:00"),
        ("/audit?outcome=failed&until=soon", "until", "soon", "in UTC, such as 2026-11-28 13:00"),
        ("/audit?outcome=failed&trace_id=villa", "trace_id", "villa", "or a whole traceparent"),
        ("/audit?outcome=failed&account_id=a+b", "account_id", "a b", "a b"),
        ("/audit?outcome=failed&listing_id=one", "listing_id", "one", "is no id of a listing"),
    ] {
        let page = viewer.get(path).await?.expect(400)?.text;
        assert!(page.contains(&format!("name=\"{field}\" value=\"{typed}\"")), "{path}: {page}");
        assert!(beside(&page, field).contains(right), "{path}: {page}");
        assert!(page.contains("Nothing is listed") && page.contains(">Show</button>"), "{path}: {page}");
        let other = if path.starts_with("/audit") { "failed" } else { "paused" };
        assert!(page.contains(&format!("<option value=\"{other}\" selected")), "{path}: {page}");
    }
    let page = viewer.get("/audit?outcome=bad&cause=manual").await?.expect(400)?.text;
    assert!(beside(&page, "outcome").contains("one of failed, pending"), "{page}");
    assert!(page.contains("Since (UTC)") && page.contains("Until (UTC)"), "{page}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_named_by_name_times_without_a_zone_and_traces_by_a_traceparent() -> anyhow::Result<()> {
    let world = World::new(&[8138, 8139]).await?;
    let service = world.serve("")?;
    let anybody = Api::of(&service).await?;
    let [viewer, analyst] = ["viewer", "analyst"].map(|role| anybody.as_caller(&world, ORG, None, role));
    let (viewer, analyst) = (viewer?, analyst?);
    let units = names(2);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(2, 1).await?;
    let mut targets = Vec::new();
    for (account, unit) in [8138, 8139].into_iter().zip(&units) {
        let target = world.target(account, RateLimit::new(100, 1_000)?).await?;
        world.link(target, std::slice::from_ref(unit)).await?;
        targets.push(target.to_string());
    }
    world.drained(Duration::from_secs(30)).await?;
    let traced = "UPDATE outbound_audit SET traceparent = $1 WHERE unit_id = 'villa-001'";
    sqlx::query(traced).bind(TRACEPARENT).execute(&world.pool).await?;
    let shows = async |api: &Api, path: &str| {
        let page = api.get(path).await?.expect(200)?.text;
        let rows = page.split("<tbody>").nth(1).unwrap_or_default();
        let seen = units.iter().map(|unit| rows.contains(unit.as_str())).collect::<Vec<_>>();
        Ok::<_, anyhow::Error>((seen, page))
    };
    for path in ["/listings?target_id=hostaway+8138", "/audit?target_id=+HOSTAWAY+8138+", "/audit?since=2026-01-01"] {
        let (seen, page) = shows(&viewer, path).await?;
        assert_eq!(seen, [true, path.contains("since")], "{path}: {page}");
        assert!(page.contains("<option value=\"hostaway 8139\">"), "{path}: {page}");
    }
    let (seen, page) = shows(&viewer, &format!("/audit?trace_id={TRACEPARENT}&since=2026-01-01+12%3A30")).await?;
    assert_eq!(seen, [false, true], "{page}");
    // The exports take what the API does.
    let export =
        "/api/channels/audit/export?trace_id=4bf92f3577b34da6a3ce929d0e0e4736&amp;since=2026-01-01T12%3A30%3A00Z";
    assert!(page.contains(&format!("{export}&amp;format=csv")), "{page}");
    let (seen, page) = shows(&analyst, "/audit?target_id=hostaway+8139").await?;
    assert_eq!((seen, page.contains("<datalist")), (vec![false, true], false), "{page}");
    assert!(page.contains(&format!("export?target_id={}&amp;format=csv", targets[1])), "{page}");

    // Of two with one name it is told which there are, and their ids are offered.
    sqlx::query("UPDATE channel_targets SET name = 'Twin'").execute(&world.pool).await?;
    let page = viewer.get("/audit?target_id=twin").await?.expect(400)?.text;
    for target in &targets {
        assert!(beside(&page, "target_id").contains(target), "{page}");
        assert!(page.contains(&format!("<option value=\"{target}\">Twin</option>")), "{page}");
    }
    let elsewhere = anybody.as_caller(&world, "elsewhere", None, "viewer")?;
    let page = elsewhere.get("/listings?target_id=Twin").await?.expect(400)?.text;
    assert!(beside(&page, "target_id").contains("names no target") && !page.contains(&targets[0]), "{page}");
    drop(service);
    world.close().await
}
