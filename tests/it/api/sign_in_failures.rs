//! People at an OpenID provider that says whatever a test wants: what a browser keeps of several sign-ins, and what is told of one that
//! comes to nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::Utc;
use end_to_end::api::{Answer, Api};
use end_to_end::process::Process;
use end_to_end::world::{ORG, World};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::credentials::new_key;

/// What it has now: the key that it signs with, the one that it publishes, what it says otherwise than it has to, and how often its keys
/// were asked for.
struct Saying {
    signing: EncodingKey,
    public: Value,
    claims: Value,
    asked: usize,
}

/// A provider whose keys have no names. A code is the nonce of its sign-in.
#[derive(Clone)]
struct Provider {
    issuer: String,
    saying: Arc<Mutex<Saying>>,
}

impl Provider {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (signing, public) = new_key()?;
        let saying = Saying { signing, public, claims: json!({}), asked: 0 };
        let issuer = format!("http://{}", listener.local_addr()?);
        let provider = Self { issuer, saying: Arc::new(Mutex::new(saying)) };
        let (of_itself, of_keys, of_people) = (provider.clone(), provider.clone(), provider.clone());
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { Json(of_itself.of_itself()) }))
            .route("/keys", get(move || async move { Json(of_keys.keys()) }))
            .route("/token", post(move |body: String| async move { Json(of_people.tokens(&body)) }));
        tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(provider)
    }

    fn now<T>(&self, look: impl FnOnce(&mut Saying) -> T) -> T {
        look(&mut self.saying.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn of_itself(&self) -> Value {
        let name = &self.issuer;
        json!({ "issuer": name, "authorization_endpoint": format!("{name}/auth"), "jwks_uri": format!("{name}/keys"),
            "token_endpoint": format!("{name}/token"), "response_types_supported": ["code"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["EdDSA"] })
    }

    fn keys(&self) -> Value {
        self.now(|saying| {
            saying.asked += 1;
            json!({ "keys": [saying.public] })
        })
    }

    fn tokens(&self, asked: &str) -> Value {
        let nonce = asked.split('&').find_map(|part| part.strip_prefix("code="));
        let now = Utc::now().timestamp();
        let mut claims = json!({ "iss": self.issuer, "aud": "distribution", "sub": "ana", "iat": now, "exp": now + 300,
            "nonce": nonce, "org_id": ORG, "account_ids": ["villas"], "roles": ["Owner"] });
        let token = self.now(|saying| {
            for (name, other) in saying.claims.as_object().into_iter().flatten() {
                claims[name] = other.clone();
            }
            if let Some(claims) = claims.as_object_mut() {
                claims.retain(|_, value| !value.is_null());
            }
            jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &saying.signing)
        });
        json!({ "access_token": "of-nothing", "token_type": "Bearer", "id_token": token.expect("it is signed") })
    }

    /// Signs with another key from here on, and publishes that one alone.
    fn change_its_key(&self) -> anyhow::Result<()> {
        let (signing, public) = new_key()?;
        self.now(|saying| (saying.signing, saying.public) = (signing, public));
        Ok(())
    }

    fn serve(&self, world: &World) -> anyhow::Result<Process> {
        let back = "http://127.0.0.1:8/sign-in/callback";
        let options = ["--oidc-issuer", &self.issuer, "--oidc-redirect-url", back, "--api-rate", "1000"];
        world.serve_with("api", &options)
    }
}

/// A browser with its cookies, the oldest first.
#[derive(Clone)]
struct Browser {
    api: Api,
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn of(api: &Api) -> Self {
        Self { api: api.clone(), cookies: Vec::new() }
    }

    async fn open(&mut self, path: &str) -> anyhow::Result<Answer> {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = [("cookie", cookies.join("; ")), ("accept", "text/html".to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = self.api.send(Method::GET, path, &headers, None).await?;
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str()?;
            let pair = set.split(';').next().and_then(|pair| pair.split_once('=')).context("a cookie has a value")?;
            self.cookies.retain(|(name, _)| name != pair.0);
            if !set.contains("Max-Age=0") {
                self.cookies.push((pair.0.to_owned(), pair.1.to_owned()));
            }
        }
        Ok(answer)
    }

    /// A form of a page, with this token.
    async fn send_form(&self, path: &str, page: &str, token: &str) -> anyhow::Result<Answer> {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (cookies, page) = (cookies.join("; "), format!("{}{page}", self.api.base()));
        let form = ("content-type", "application/x-www-form-urlencoded");
        let headers = [form, ("cookie", cookies.as_str()), ("referer", page.as_str())];
        self.api.send_text(Method::POST, path, &headers, format!("reason=x&csrf_token={token}")).await
    }

    /// Begins a sign-in, and gives the path by which the provider sends a browser back with a code.
    async fn begin(&mut self, page: &str) -> anyhow::Result<String> {
        let (state, nonce) = self.state_and_nonce(page).await?;
        Ok(format!("/sign-in/callback?code={nonce}&state={state}"))
    }

    /// The same with an error in the code's place.
    async fn begin_in_vain(&mut self, error: &str) -> anyhow::Result<String> {
        let (state, _) = self.state_and_nonce("/targets").await?;
        Ok(format!("/sign-in/callback?error={error}&state={state}"))
    }

    async fn state_and_nonce(&mut self, page: &str) -> anyhow::Result<(String, String)> {
        let leads = self.open(&format!("/sign-in?return_to={page}")).await?.expect(303)?.header("location");
        let asked = leads.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let part = |name: &str| asked.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let (state, nonce) = part("state").zip(part("nonce")).with_context(|| leads.clone())?;
        Ok((state.to_owned(), nonce.to_owned()))
    }

    async fn sign_in(&mut self) -> anyhow::Result<Answer> {
        let back = self.begin("/targets").await?;
        self.open(&back).await
    }

    fn cookies_below(&self, begin: &str) -> usize {
        self.cookies.iter().filter(|(name, _)| name.starts_with(begin)).count()
    }
}

/// What a form of this page carries.
fn csrf_token(page: &Answer) -> anyhow::Result<String> {
    let shown = page.text.split("name=\"csrf_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    shown.map(str::to_owned).with_context(|| format!("a page has a form: {}", page.text))
}

/// As where a session ends with several pages open, each of which leads to the provider. A page of the first is of a session that the
/// browser has no more: it changes nothing, and leads to itself.
#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_that_sign_in_at_the_same_time_both_come_in() -> anyhow::Result<()> {
    let world = World::new(&[8200]).await?;
    let provider = Provider::start().await?;
    let service = provider.serve(&world)?;
    let begin = "__Host-distribution-login-";
    for at_once in [false, true] {
        let mut browser = Browser::of(&Api::of(&service).await?);
        let tabs = [("/targets", browser.begin("/targets").await?), ("/audit", browser.begin("/audit").await?)];
        // Really at once neither brings the session of the other.
        let mut beside = browser.clone();
        let mut tokens = Vec::new();
        for (page, back) in &tabs {
            if at_once && !tokens.is_empty() {
                std::mem::swap(&mut browser, &mut beside);
            }
            let came = browser.open(back).await?.expect(303)?;
            assert_eq!(came.header("location"), *page);
            tokens.push(csrf_token(&browser.open(page).await?.expect(200)?)?);
        }
        let change = format!("/targets/{}/pause", Uuid::nil());
        let refused = browser.send_form(&change, "/targets?health=healthy", &tokens[0]).await?.expect(403)?;
        let has = |part: &str| refused.text.contains(part);
        assert!(has("You have signed in anew since this page") && has("Nothing was changed."), "{refused:?}");
        assert!(has("href=\"/targets?health=healthy\"") && has("Open the page anew"), "{refused:?}");
        assert!(!has("csrf") && !has("gives out roles"), "{refused:?}");
        browser.send_form(&change, "/audit", &tokens[1]).await?.expect(404)?;
        // Each is used once.
        browser.open(&tabs[1].1).await?.expect(403)?;
    }
    // One of the first two, which ended the other, and both of the last.
    assert_eq!(world.count("SELECT count(*) FROM sessions").await?, 3);
    let mut browser = Browser::of(&Api::of(&service).await?);
    browser.sign_in().await?.expect(303)?;
    assert_eq!(browser.cookies_below(begin), 0, "{:?}", browser.cookies);
    // What was never ended is forgotten.
    let mut oldest = None;
    let mut newest = String::new();
    for _ in 0..12 {
        newest = browser.begin("/targets").await?;
        oldest = oldest.or_else(|| Some(newest.clone()));
    }
    assert_eq!(browser.cookies_below(begin), 8, "{:?}", browser.cookies);
    browser.open(&oldest.context("there is one")?).await?.expect(403)?;
    browser.open(&newest).await?.expect(303)?;
    drop(service);
    world.close().await
}

/// Each cause has a sentence of its own, and each page a way to sign in again. Of roles it is only where these are missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_comes_to_nothing_says_why_and_leads_to_another_one() -> anyhow::Result<()> {
    let world = World::new(&[8201]).await?;
    let provider = Provider::start().await?;
    let service = provider.serve(&world)?;
    let mut browser = Browser::of(&Api::of(&service).await?);
    let says = |page: &Answer, words: &str| {
        let (has, text) = (|part: &str| page.text.contains(part), &page.text);
        assert!(has(words) && has("href=\"/sign-in\"") && has("Sign in again"), "{words}: {text}");
        assert!(!has("gives out roles"), "{words}: {text}");
    };
    for (error, status, words) in [
        ("access_denied", 403, "it was cancelled at the identity provider"),
        ("login_required", 403, "has to ask you something first"),
        ("temporarily_unavailable", 503, "has no time now"),
        ("server_error", 502, "says that it has failed"),
        ("invalid_scope", 502, "refuses what this service asks of it: invalid_scope"),
    ] {
        let back = browser.begin_in_vain(error).await?;
        says(&browser.open(&back).await?.expect(status)?, words);
    }
    // What leads here from elsewhere is none of the provider's, and nothing of it is shown, or said in the log.
    let own = "Call-0800-1234";
    let elsewhere = browser.begin_in_vain(own).await?;
    let without = format!("/sign-in/callback?error={own}");
    let made_up = format!("{without}&state=x");
    let another = Browser::of(&browser.api);
    for (mut browser, path) in [(another.clone(), &elsewhere), (another, &without), (browser.clone(), &made_up)] {
        let page = browser.open(path).await?.expect(403)?;
        says(&page, "was not begun in this browser");
        assert!(!page.text.contains(own), "{}", page.text);
    }
    assert!(!service.printed().contains(own), "{}", service.printed());
    // Nor has another browser used it up.
    says(&browser.open(&elsewhere).await?.expect(502)?, own);
    says(&browser.open(&elsewhere).await?.expect(403)?, "was not begun in this browser");
    says(&browser.open("/sign-in/callback?code=x&state=made-up").await?.expect(403)?, "was not begun in this browser");
    // RFC 9207.
    let back = browser.begin("/targets").await?;
    let elsewhere = browser.open(&format!("{back}&iss=http://evil.example")).await?.expect(403)?;
    says(&elsewhere, "is not from the identity provider");
    browser.open(&format!("{back}&iss={}", provider.issuer)).await?.expect(303)?;

    let now = Utc::now().timestamp();
    for claims in [
        json!({ "exp": null }),
        json!({ "iat": null }),
        json!({ "sub": null }),
        json!({ "sub": 7 }),
        json!({ "exp": "soon" }),
        json!({ "exp": now - 100 }),
        json!({ "nonce": "another" }),
        json!({ "aud": "another" }),
        json!({ "azp": "another" }),
        json!({ "nbf": now + 600 }),
    ] {
        provider.now(|saying| saying.claims = claims.clone());
        let page = browser.sign_in().await?.expect(502).with_context(|| claims.to_string())?;
        says(&page, "gave an answer that cannot be used");
        // It does not pass, and it is not what whoever signs in has done.
        assert!(page.header("retry-after").is_empty() && page.text.contains("It is not your doing"), "{}", page.text);
    }
    assert!(service.printed().contains("missing field `exp`"), "the operator finds why: {}", service.printed());
    provider.now(|saying| saying.claims = json!({ "roles": [] }));
    says(&browser.sign_in().await?.expect(403)?, "the claim roles gives no role");
    provider.now(|saying| saying.claims = json!({ "azp": "distribution", "nbf": now }));
    browser.sign_in().await?.expect(303)?;
    drop(service);
    world.close().await
}

/// Without a name nobody sees that a key is another one, but that what it has signed is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn keys_without_a_name_are_fetched_again_when_a_signature_is_wrong_and_not_each_time() -> anyhow::Result<()> {
    let world = World::new(&[8202]).await?;
    let provider = Provider::start().await?;
    let service = provider.serve(&world)?;
    let mut browser = Browser::of(&Api::of(&service).await?);
    browser.sign_in().await?.expect(303)?;
    let began = Instant::now();
    provider.change_its_key()?;
    browser.sign_in().await?.expect(303)?;
    assert_eq!(provider.now(|saying| saying.asked), 2);
    // Whoever comes with wrong signatures again and again costs the provider one look in five seconds.
    let (signing, public) = new_key()?;
    provider.now(|saying| saying.signing = signing);
    for _ in 0..3 {
        browser.sign_in().await?.expect(502)?;
    }
    let (asked, seconds) = (provider.now(|saying| saying.asked), began.elapsed().as_secs());
    assert!(asked as u64 <= 2 + seconds / 5, "{asked} times in {seconds} s");
    provider.now(|saying| saying.public = public);
    tokio::time::sleep(Duration::from_secs(6)).await;
    browser.sign_in().await?.expect(303)?;
    assert_eq!(provider.now(|saying| saying.asked), asked + 1);
    drop(service);
    world.close().await
}
