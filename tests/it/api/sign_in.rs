//! People with a one-time link: in, about, and out again; and out at the identity provider, too.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use adapters::identity::{Grant, Sessions, Way};
use domain::access::{AccessRole, Accounts};
use end_to_end::api::{Answer, Api};
use end_to_end::identity_provider::IdentityProvider;
use end_to_end::world::{ORG, World};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;

fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

/// No link would be taken, so nobody is sent to ask for one.
#[tokio::test(flavor = "multi_thread")]
async fn where_services_alone_have_a_provider_the_page_says_that_people_cannot_sign_in() -> anyhow::Result<()> {
    let world = World::new(&[8131]).await?;
    let provider = ["--jwks-url", "http://127.0.0.1:9/keys", "--token-issuer", "https://id.example.org"];
    let service = world.serve_with("api", &provider)?;
    let api = Api::of(&service).await?;
    for path in ["/sign-in", "/sign-in?code=abc", "/sign-in?return_to=/targets"] {
        let page = api.get(path).await?.expect(200)?.text;
        for words in ["People cannot sign in here", "DISTRIBUTION_OIDC_ISSUER"] {
            assert!(page.contains(words), "{path}: {page}");
        }
        assert!(!page.contains("distribution sign-in") && !page.contains("<button"), "{path}: {page}");
    }
    drop(service);
    world.close().await
}

/// Whoever has a shell of another environment than `serve` would be given what nobody takes.
#[tokio::test(flavor = "multi_thread")]
async fn where_serve_has_a_provider_nothing_is_given_out_whatever_the_shell_knows() -> anyhow::Result<()> {
    let world = World::new(&[8136]).await?;
    let token = ["token", "--subject", "ci", "--org", ORG, "--role", "viewer"];
    let link = ["sign-in", "--org", ORG, "--role", "owner"];
    assert_eq!((world.run(&token)?.0, world.run(&link)?.0), (0, 0), "nobody has said anything yet");
    let provider = ["--jwks-url", "http://127.0.0.1:9/keys", "--token-issuer", "https://id.example.org"];
    let service = world.serve_with("api", &provider)?;
    Api::of(&service).await?;
    for command in [&token[..], &link] {
        let (code, printed, said) = world.run(command)?;
        assert_eq!((code, printed.as_str()), (1, ""), "{command:?}: {said}");
        assert!(said.contains("DISTRIBUTION_JWKS_URL"), "{command:?}: {said}");
    }
    drop(service);
    // The last start counts.
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    api.as_caller(&world, ORG, None, "viewer")?.get("/api/channels/me").await?.expect(200)?;
    assert_eq!(world.run(&link)?.0, 0);
    drop(service);
    world.close().await
}

/// One key that is not as it should be would make an outage of all others.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_issuer_that_cannot_be_read_is_passed_over_and_told_in_the_log() -> anyhow::Result<()> {
    let world = World::new(&[8135]).await?;
    // The second is the example of RFC 7517.
    let keys = json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "kid": 7, "x": "AA", "y": "AA" },
        { "kty": "EC", "crv": "P-256", "kid": "a", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
          "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM" },
    ] });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/keys", listener.local_addr()?);
    let router = axum::Router::new().route("/keys", axum::routing::get(move || async move { axum::Json(keys) }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let service = world.serve_with("api", &["--jwks-url", &url, "--token-issuer", "https://id.example.org"])?;
    let api = Api::of(&service).await?;
    let ready = api.get("/health/ready").await?.expect(200)?.json();
    assert_eq!(ready["identity_provider"], json!(true), "{ready}");
    // Its header says ES256 and the key "a", and its signature is none.
    let forged = api.with_token("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.e30");
    forged.get("/api/channels/me").await?.expect(401)?;
    assert!(service.printed().contains("cannot be read, and is passed over"), "{}", service.printed());
    drop(service);
    world.close().await
}

/// Whoever says that they cannot get in names the id that stands in the answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_says_of_a_credential_that_cannot_be_checked_names_the_request() -> anyhow::Result<()> {
    let world = World::new(&[8132]).await?;
    let provider = [
        ["--jwks-url", "http://127.0.0.1:9/keys", "--token-issuer", "https://id.example.org"],
        ["--oidc-issuer", "http://127.0.0.1:9", "--oidc-redirect-url", "http://127.0.0.1:8/sign-in/callback"],
    ];
    let service = world.serve_with("api", &provider.concat())?;
    // Its header says ES256, and some key.
    let api = Api::of(&service).await?.with_token("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.e30");
    for (path, words) in [("/api/channels/me", "tokens cannot be checked"), ("/sign-in", "nobody can sign in")] {
        let id = uuid::Uuid::now_v7().to_string();
        api.send(Method::GET, path, &[("x-request-id", &id)], None).await?.expect(503)?;
        let log = service.printed();
        let line = log.lines().find(|line| line.contains(words)).unwrap_or_default();
        assert!(line.contains(&id), "{id}: {log}");
    }
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_once_and_a_sign_out_ends_the_session() -> anyhow::Result<()> {
    let world = World::new(&[8130]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let (code, printed, said) = world.run(&["sign-in", "--org", ORG, "--role", "owner", "--url", api.base()])?;
    assert_eq!(code, 0, "{said}");
    let link = printed.trim().strip_prefix(api.base()).expect("the link leads to the service").to_owned();
    // To look at it does not use it up.
    let page = api.get(&link).await?.expect(200)?;
    assert!(page.text.contains("<button"), "{}", page.text);
    let form = link.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default();
    let redeem = async || {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let request = client.post(format!("{}/sign-in", api.base()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.clone());
        let response = request.send().await?;
        anyhow::Ok((response.status().as_u16(), response.headers().clone()))
    };
    let (status, headers) = redeem().await?;
    assert_eq!(status, 303);
    let set = headers["set-cookie"].to_str()?.to_owned();
    for attribute in ["__Host-distribution=", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert_eq!(redeem().await?.0, 400, "the link works once");
    let session = set.split(';').next().unwrap_or_default().to_owned();
    let me = api.send(Method::GET, "/api/channels/me", &[("cookie", &session)], None).await?.expect(200)?;
    let csrf = me.json()["csrf_token"].as_str().unwrap_or_default().to_owned();
    let body = json!({ "account_id": "villas", "name": "x", "base_url": "https://api.hostaway.com/v1",
        "channel_account": "1", "secret": "a-secret" });
    let path = "/api/channels/targets";
    let without = api.send(Method::POST, path, &[("cookie", &session)], Some(&body)).await?.expect(403)?;
    assert_eq!(without.json()["field"], json!("X-CSRF-Token"));
    let with = [("cookie", session.as_str()), ("x-csrf-token", csrf.as_str())];
    api.send(Method::POST, path, &with, Some(&body)).await?.expect(201)?;
    let by: String = sqlx::query_scalar("SELECT metadata ->> 'credential' FROM events").fetch_one(&world.pool).await?;
    assert_eq!(by, "session");
    let client = reqwest::Client::new();
    let end = client.post(format!("{}/sign-out", api.base())).header("cookie", &session);
    let end = end.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(end.try_clone().expect("a form can be sent twice").send().await?.status().as_u16(), 403);
    let ended = end.body(format!("csrf_token={csrf}")).send().await?;
    assert_eq!(ended.status().as_u16(), 200);
    api.send(Method::GET, "/api/channels/me", &[("cookie", &session)], None).await?.expect(401)?;
    assert!(cookie(&page).is_empty());
    drop(service);
    world.close().await
}

/// Of whom the provider has let in: the cookie of a session, and the token of its unsafe requests.
async fn by_the_provider(world: &World) -> anyhow::Result<(String, String)> {
    let (subject, roles) = ("ana".to_owned(), BTreeSet::from([AccessRole::Owner]));
    let grant = Grant { subject, org_id: ORG.parse()?, accounts: Accounts::All, roles };
    let begun = Sessions::new(world.pool.clone()).begin(grant, Way::Provider, None).await?;
    Ok((format!("{}={}", begun.cookie.name(), begun.cookie.value()), begun.csrf_token))
}

/// A service whose people sign in at this provider.
fn options(issuer: &str) -> [&str; 4] {
    ["--oidc-issuer", issuer, "--oidc-redirect-url", "http://127.0.0.1:8/sign-in/callback"]
}

/// Else the provider would let whoever uses the browser next in as the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_ends_the_session_and_leads_on_to_the_provider() -> anyhow::Result<()> {
    let world = World::new(&[8134]).await?;
    let provider = IdentityProvider::start("http://127.0.0.1:8/sign-in/callback").await?;
    let service = world.serve_with("api", &options(&provider.issuer))?;
    let api = Api::of(&service).await?;
    // It is known from here on: a provider that has just begun may be slow, and a sign-out does not wait for long.
    api.get("/sign-in").await?.expect(303)?;
    let (cookie, csrf) = by_the_provider(&world).await?;
    let (with, me) = ([("cookie", cookie.as_str())], "/api/channels/me");
    // Nothing ends without the token of the session, and nobody is told that it has.
    let refused = api.send(Method::POST, "/sign-out", &with, None).await?.expect(403)?;
    let back = api.send(Method::GET, "/signed-out", &with, None).await?.expect(303)?;
    assert_eq!((refused.header("refresh"), back.header("location")), (String::new(), "/".to_owned()));
    api.send(Method::GET, me, &with, None).await?.expect(200)?;

    let both = [("cookie", cookie.as_str()), ("x-csrf-token", csrf.as_str())];
    let out = api.send(Method::POST, "/sign-out", &both, None).await?.expect(200)?;
    let back = "client_id=distribution&post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A8%2Fsigned-out";
    assert_eq!(out.header("refresh"), format!("0; url={}/session/end?{back}", provider.issuer));
    assert!(out.header("set-cookie").contains("Max-Age=0") && out.text.contains("/session/end?"), "{}", out.text);
    api.send(Method::GET, me, &with, None).await?.expect(401)?;
    // A page of a session that has ended, here or by its time, leads there as well: the provider knows the browser still.
    let again = api.send(Method::POST, "/sign-out", &both, None).await?.expect(200)?;
    assert_eq!(again.header("refresh"), out.header("refresh"));

    // A form of another site comes without the cookie, and the way back leads nowhere, whoever leads a browser there.
    for (method, path) in [(Method::GET, "/signed-out"), (Method::POST, "/sign-out")] {
        let page = api.send(method, path, &[], None).await?.expect(200)?;
        assert!(page.text.contains("You are signed out") && page.header("refresh").is_empty(), "{path}: {}", page.text);
    }
    drop((service, provider));
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_ends_the_session_while_the_provider_is_away_or_hangs() -> anyhow::Result<()> {
    let world = World::new(&[8135]).await?;
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let hanging = format!("http://{}", silent.local_addr()?);
    for (issuer, hangs) in [("http://127.0.0.1:9", false), (hanging.as_str(), true)] {
        let service = world.serve_with("api", &options(issuer))?;
        let api = Api::of(&service).await?;
        let (cookie, csrf) = by_the_provider(&world).await?;
        let both = [("cookie", cookie.as_str()), ("x-csrf-token", csrf.as_str())];
        let ended = async || api.send(Method::GET, "/api/channels/me", &both, None).await?.expect(401);
        // While the provider is being asked, the session has ended.
        let while_asked = async {
            if !hangs {
                return anyhow::Ok(None);
            }
            let connection = timeout(Duration::from_secs(20), silent.accept()).await??;
            ended().await?;
            anyhow::Ok(Some(connection))
        };
        let begun = Instant::now();
        let outs = try_join_all((0..3).map(|_| api.send(Method::POST, "/sign-out", &both, None)));
        let (outs, asked) = tokio::join!(outs, while_asked);
        asked?;
        for out in outs? {
            let out = out.expect(200)?;
            assert!(out.header("refresh").is_empty() && out.header("set-cookie").contains("Max-Age=0"), "{issuer}");
            assert!(out.text.contains("may still know this browser"), "{issuer}: {}", out.text);
        }
        // Taking turns at one that hangs they would wait for 15 s.
        assert!(begun.elapsed() < Duration::from_secs(10), "{issuer}: {:?}", begun.elapsed());
        ended().await?;
        drop(service);
    }
    world.close().await
}
