//! The places for those who look live, of which nobody gets all.

use std::time::Duration;

use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Client, Response};

use super::credentials::local_token;

/// As `services/API.md` says.
const OF_A_CALLER: usize = 20;
const OF_AN_ORGANISATION: usize = 1_000;
/// Files that the test and the service need beside the streams.
const OWN_FILES: usize = 500;

/// One who looks live.
async fn look(client: &Client, api: &Api, token: &str) -> anyhow::Result<Response> {
    let url = format!("{}/live?topic=dead-letters", api.base());
    Ok(client.get(url).bearer_auth(token).send().await?)
}

fn status(stream: &Response) -> u16 {
    stream.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_looks_live_twenty_times_at_once_and_keeps_nobody_else_from_it() -> anyhow::Result<()> {
    let world = World::new(&[8142]).await?;
    let service = world.serve("api")?;
    let (api, client) = (Api::of(&service).await?, Client::new());
    let token = |subject: &str, org: &str| local_token(&world, subject, org, 600);
    let ana = token("ana", ORG)?;
    let mut streams = Vec::new();
    for _ in 0..OF_A_CALLER {
        streams.push(look(&client, &api, &ana).await?.error_for_status()?);
    }
    // By whatever token: it is the same caller.
    let further = look(&client, &api, &token("ana", ORG)?).await?;
    let (told, again) = (status(&further), further.headers().get("retry-after").cloned());
    assert_eq!((told, again.is_some()), (429, true), "{further:?}");
    let said = further.text().await?;
    assert!(said.contains("you look live at 20 pages already"), "{said}");
    for (subject, org) in [("ben", ORG), ("ana", "elsewhere")] {
        assert_eq!(status(&look(&client, &api, &token(subject, org)?).await?), 200, "{subject} of {org}");
    }
    // Whoever closes a page may open another one.
    streams.pop();
    wait_until("there is a place again", Duration::from_secs(30), || async {
        let told = status(&look(&client, &api, &ana).await?);
        Ok(if told == 200 { Ok(()) } else { Err(format!("{told}")) })
    })
    .await?;
    drop((streams, service));
    world.close().await
}

/// As many files as a process of this machine may have open.
fn files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    open.and_then(|numbers| numbers.split_whitespace().next()?.parse().ok()).unwrap_or(usize::MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_an_organisation_looks_live_a_thousand_times_at_once_and_others_have_places() -> anyhow::Result<()> {
    if files() < OF_AN_ORGANISATION + OWN_FILES {
        eprintln!("not tried: `ulimit -n` lets this process open no more than {} files", files());
        return Ok(());
    }
    let world = World::new(&[8143]).await?;
    let service = world.serve("api")?;
    let (api, client) = (Api::of(&service).await?, Client::new());
    let token = |subject: &str, org: &str| local_token(&world, subject, org, 600);
    let callers = (0..OF_AN_ORGANISATION / OF_A_CALLER).map(|number| token(&format!("viewer-{number}"), ORG));
    let callers = callers.collect::<anyhow::Result<Vec<String>>>()?;
    let all = callers.iter().flat_map(|token| std::iter::repeat_n(token, OF_A_CALLER));
    let all = stream::iter(all).map(|token| look(&client, &api, token)).buffer_unordered(20);
    let streams: Vec<Response> = all.try_collect().await?;
    let refused = streams.iter().filter(|stream| status(stream) != 200).count();
    assert_eq!((streams.len(), refused), (OF_AN_ORGANISATION, 0));
    assert_eq!(status(&look(&client, &api, &token("one-more", ORG)?).await?), 429);
    for number in 0..10 {
        let stream = look(&client, &api, &token(&format!("viewer-{number}"), "elsewhere")?).await?;
        assert_eq!(status(&stream), 200, "another organisation's {number}");
    }
    drop((streams, service));
    world.close().await
}
