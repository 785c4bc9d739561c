//! Credentials that somebody makes up: they are refused for little, and lock nobody else out.

use std::time::Duration;

use anyhow::ensure;
use end_to_end::api::{Answer, Api};
use end_to_end::world::{ORG, World};
use futures::future::join_all;
use reqwest::Method;
use tokio::time::{Instant, sleep, timeout};

use super::credentials::{local_token, session};

/// Requests of a caller, and of an address, in a second.
const RATE: usize = 3;
const ME: &str = "/api/channels/me";

fn cookie(number: usize) -> String {
    format!("__Host-distribution=made-up-{number}")
}

async fn with_cookie(api: &Api, cookie: &str) -> anyhow::Result<Answer> {
    api.send(Method::GET, ME, &[("cookie", cookie)], None).await
}

/// The statuses of those that are answered soon.
async fn soon(asked: impl IntoIterator<Item = impl Future<Output = anyhow::Result<Answer>>>) -> Vec<u16> {
    let asked = asked.into_iter().map(|asked| timeout(Duration::from_secs(3), asked));
    join_all(asked).await.into_iter().filter_map(|answer| Some(answer.ok()?.ok()?.status.as_u16())).collect()
}

/// While the table of sessions is locked a look at it does not end.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_made_up_are_refused_without_a_look() -> anyhow::Result<()> {
    const MANY: usize = 60;
    let world = World::new(&[8144]).await?;
    let service = world.serve_with("api", &["--api-rate", &RATE.to_string()])?;
    let api = Api::of(&service).await?;
    let (ana, _) = session(&world, "ana", ORG).await?;
    with_cookie(&api, &ana).await?.expect(200)?;
    let mut lock = world.pool.begin().await?;
    sqlx::query("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await?;
    let cookies: Vec<String> = (0..MANY).map(cookie).collect();
    // A few come back in three seconds, one reads the sessions that there are, and all others are told at once.
    let made_up = soon(cookies.iter().map(|cookie| with_cookie(&api, cookie))).await;
    assert!(made_up.len() >= MANY - 5 * RATE && made_up.iter().all(|status| *status == 429), "{made_up:?}");
    // Nor is the session looked for of somebody who is over their own rate.
    let known = soon((0..MANY).map(|_| with_cookie(&api, &ana))).await;
    assert!(known.len() >= MANY - 5 * RATE && known.iter().all(|status| *status == 429), "{known:?}");
    lock.rollback().await?;
    let after = soon(cookies.iter().map(|cookie| with_cookie(&api, cookie))).await;
    assert!(after.len() == MANY && after.iter().all(|status| [401, 429].contains(status)), "{after:?}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_is_let_in_whatever_is_made_up_at_the_same_address() -> anyhow::Result<()> {
    let world = World::new(&[8145]).await?;
    let service = world.serve_with("api", &["--api-rate", &RATE.to_string()])?;
    let api = Api::of(&service).await?;
    // Of good credentials an address may send as many as it likes.
    for number in 0..5 * RATE {
        let token = local_token(&world, &format!("service-{number}"), ORG, 600)?;
        api.with_token(&token).get(ME).await?.expect(200)?;
        let (cookie, _) = session(&world, &format!("person-{number}"), ORG).await?;
        with_cookie(&api, &cookie).await?.expect(200)?;
    }
    let good = local_token(&world, "pricing", ORG, 600)?;
    let bad = format!("{}{}", &good[..good.len() - 8], "AAAAAAAA");
    let (known, forged) = (api.with_token(&good), api.with_token(&bad));
    known.get(ME).await?.expect(200)?;
    let (ana, _) = session(&world, "ana", ORG).await?;
    with_cookie(&api, &ana).await?.expect(200)?;
    // Whom this process has not seen yet: they signed in at another one.
    let (ben, _) = session(&world, "ben", ORG).await?;
    let cookies: Vec<String> = (0..20).map(cookie).collect();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let made_up = soon(cookies.iter().map(|cookie| with_cookie(&api, cookie))).await;
        let tokens = soon(cookies.iter().map(|_| forged.get(ME))).await;
        for statuses in [made_up, tokens] {
            ensure!(statuses.len() == 20 && statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
            ensure!(statuses.iter().filter(|status| **status == 429).count() > 10, "{statuses:?}");
        }
        for person in [&ana, &ben] {
            with_cookie(&api, person).await?.expect(200)?;
        }
        known.get(ME).await?.expect(200)?;
        // Nor is anybody kept from signing in.
        api.get("/sign-in").await?.expect(200)?;
        sleep(Duration::from_millis(800)).await;
    }
    drop(service);
    world.close().await
}
