//! People sign in at a real OpenID provider, and out: what lets them in, and everything that does not.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use adapters::identity::{
    ClaimError, ClaimNames, LOGIN_COOKIES, LoginEnd, LoginError, LoginStart, OidcLogin, OidcOptions, login_cookie,
};
use adapters::secrets::Secrets;
use domain::access::{AccessRole, Accounts};
use domain::ids::AccountId;
use serde_json::{Value, json};

use crate::browser::{Browser, CALLBACK, Returned};
use crate::database::Database;
use crate::issuer::Issuer;
use crate::provider::{How, Provider};

struct World {
    database: Database,
    provider: Provider,
    secrets: tempfile::TempDir,
    login: OidcLogin,
}

impl World {
    async fn new(how: &How) -> Self {
        let database = Database::new().await;
        let provider = Provider::start(how);
        let secrets = tempfile::tempdir().unwrap();
        keep_secret(&secrets, "the-clients-secret");
        let login = login_at(&provider.issuer, &secrets, &database);
        Self { database, provider, secrets, login }
    }

    /// Up to where the browser comes back.
    async fn at_the_provider(&self, name: &str) -> (LoginStart, Returned) {
        let start = self.login.begin("/targets?page=2").await.unwrap();
        let returned = Browser::new().sign_in(start.redirect.clone(), name).await;
        (start, returned)
    }

    async fn whole_login(&self, name: &str) -> Result<LoginEnd, LoginError> {
        let (start, returned) = self.at_the_provider(name).await;
        self.finish(&start, &returned).await
    }

    async fn finish(&self, start: &LoginStart, returned: &Returned) -> Result<LoginEnd, LoginError> {
        let Returned { code, state, iss } = returned;
        self.login.finish(code, state, iss.as_deref(), start.cookie.value()).await
    }
}

fn login_at(issuer: &str, secrets: &tempfile::TempDir, database: &Database) -> OidcLogin {
    let options = OidcOptions {
        issuer: issuer.parse().unwrap(),
        client_id: "distribution".to_owned(),
        client_secret: Some("file:oidc".parse().unwrap()),
        redirect_url: CALLBACK.parse().unwrap(),
        scopes: vec!["channels".to_owned()],
        claims: ClaimNames::default(),
    };
    OidcLogin::new(options, Arc::new(Secrets::new(secrets.path(), None)), database.pool.clone()).unwrap()
}

fn keep_secret(dir: &tempfile::TempDir, value: &str) {
    let path = dir.path().join("oidc");
    std::fs::write(&path, value).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn is_ops(end: &LoginEnd) {
    assert_eq!((end.grant.subject.as_str(), end.grant.org_id.as_str()), ("ops", "sunstay"));
    let accounts = ["bali", "lombok"].map(|name| AccountId::new(name).unwrap());
    assert_eq!(end.grant.accounts, Accounts::Only(BTreeSet::from(accounts)));
    assert_eq!(end.grant.roles, BTreeSet::from([AccessRole::ChannelPublisher]));
    assert_eq!(end.return_to, "/targets?page=2");
}

#[tokio::test]
async fn a_person_signs_in_once_per_attempt_in_the_browser_that_began() {
    let world = World::new(&How::default()).await;
    let (start, returned) = world.at_the_provider("ops").await;
    let cookie = start.cookie.to_string();
    let name = login_cookie(&returned.state);
    assert!(name.starts_with(LOGIN_COOKIES) && cookie.starts_with(&format!("{name}=")), "{cookie}");
    assert!(cookie.contains("HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600"), "{cookie}");
    let asked: String = start.redirect.query().unwrap().to_owned();
    assert!(asked.contains("code_challenge_method=S256") && asked.contains("nonce="), "{asked}");
    let kept = world.database.dump("login_attempts").await;
    assert!(!kept.contains(&returned.state) && !kept.contains(start.cookie.value()), "{kept}");

    let Returned { code, state, iss } = &returned;
    assert_eq!(iss.as_deref(), Some(world.provider.issuer.as_str()), "it says who sends it");
    let finish = async |browser: &str| world.login.finish(code, state, iss.as_deref(), browser).await;
    let other = world.login.begin("/").await.unwrap();
    for browser in ["", other.cookie.value()] {
        assert!(matches!(finish(browser).await, Err(LoginError::NotBegun)));
    }
    let made_up = world.login.finish(code, "made up", iss.as_deref(), start.cookie.value()).await;
    assert!(matches!(made_up, Err(LoginError::NotBegun)));
    // RFC 9207: another provider's answer, by the same browser. It uses nothing up.
    let elsewhere = world.login.finish(code, state, Some("https://evil.example"), start.cookie.value()).await;
    assert!(matches!(elsewhere, Err(LoginError::Elsewhere)));
    is_ops(&finish(start.cookie.value()).await.unwrap());
    assert!(matches!(finish(start.cookie.value()).await, Err(LoginError::NotBegun)));
    world.database.close().await;
}

#[tokio::test]
async fn an_id_token_of_each_algorithm_is_taken_and_one_with_a_shared_secret_is_not() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let world = World::new(&How { algorithm: Some(algorithm), claims_in_token: true, ..How::default() }).await;
        is_ops(&world.whole_login("ops").await.unwrap());
        world.database.close().await;
    }
    let world = World::new(&How { algorithm: Some("HS256"), claims_in_token: true, ..How::default() }).await;
    let refused = world.whole_login("ops").await.unwrap_err();
    assert!(matches!(refused, LoginError::Unusable(_)), "{refused}");
    world.database.close().await;
}

#[tokio::test]
async fn an_answer_to_another_question_is_not_believed() {
    let world = World::new(&How::default()).await;
    for (change, trusted) in [
        ("UPDATE login_attempts SET nonce = 'another'", false),
        ("UPDATE login_attempts SET pkce_verifier = repeat('v', 43)", true),
    ] {
        let (start, returned) = world.at_the_provider("ops").await;
        world.database.run(change).await;
        let error = world.finish(&start, &returned).await.unwrap_err();
        match error {
            LoginError::Unusable(_) => assert!(!trusted, "{change}"),
            LoginError::Refused(_) => assert!(trusted, "{change}"),
            other => panic!("{change}: {other}"),
        }
    }
    let (start, returned) = world.at_the_provider("ops").await;
    world.database.run("UPDATE login_attempts SET expires_at = now()").await;
    let late = world.finish(&start, &returned).await;
    assert!(matches!(late, Err(LoginError::NotBegun)));
    world.database.close().await;
}

#[tokio::test]
async fn a_person_without_a_role_stays_outside_and_a_login_leads_to_no_other_host() {
    let world = World::new(&How::default()).await;
    let error = world.whole_login("nobody").await.unwrap_err();
    assert!(matches!(error, LoginError::Claims(ClaimError::NoRole(_))) && !error.is_outage(), "{error}");
    let error = world.whole_login("stranger").await.unwrap_err();
    assert!(matches!(&error, LoginError::Claims(ClaimError::Missing(claim)) if claim == "org_id"), "{error}");
    let start = world.login.begin("//evil.example/").await.unwrap();
    let returned = Browser::new().sign_in(start.redirect.clone(), "ops").await;
    let end = world.finish(&start, &returned).await.unwrap();
    assert_eq!(end.return_to, "/");
    world.database.close().await;
}

#[tokio::test]
async fn a_limit_that_stands_in_the_user_info_alone_counts_and_without_it_nobody_is_let_in() {
    let how = How { claims_in_token: true, accounts_apart: true, ..How::default() };
    let world = World::new(&how).await;
    is_ops(&world.whole_login("ops").await.unwrap());
    let owner = world.whole_login("owner").await.unwrap();
    assert_eq!((owner.grant.accounts, owner.grant.roles), (Accounts::All, BTreeSet::from([AccessRole::Owner])));
    world.database.close().await;
    for (user_info, said, is_outage) in
        [("another", "cannot be used", false), ("refuses", "401", false), ("away", "503", true)]
    {
        let world = World::new(&How { user_info: Some(user_info), ..how }).await;
        let error = world.whole_login("ops").await.unwrap_err();
        assert!(error.to_string().contains(said) && error.is_outage() == is_outage, "{user_info}: {error}");
        world.database.close().await;
    }
}

#[tokio::test]
async fn new_keys_of_the_provider_are_fetched_and_its_absence_is_an_outage() {
    let mut world = World::new(&How::default()).await;
    is_ops(&world.whole_login("ops").await.unwrap());
    let port = Some(world.provider.port());
    world.provider.stop();
    let (start, returned) = {
        world.provider = Provider::start(&How { port, ..How::default() });
        world.at_the_provider("ops").await
    };
    is_ops(&world.finish(&start, &returned).await.unwrap());

    let (start, returned) = world.at_the_provider("ops").await;
    keep_secret(&world.secrets, "another-secret");
    let refused = world.finish(&start, &returned).await.unwrap_err();
    assert!(matches!(&refused, LoginError::Refused(why) if why == "invalid_client"), "{refused}");
    keep_secret(&world.secrets, "the-clients-secret");

    let (start, returned) = world.at_the_provider("ops").await;
    world.provider.stop();
    let away = world.finish(&start, &returned).await.unwrap_err();
    assert!(away.is_outage() && !away.to_string().contains(&returned.code), "{away}");
    world.database.close().await;
}

#[tokio::test]
async fn who_is_signed_out_at_the_provider_is_asked_for_credentials_again() {
    let world = World::new(&How::default()).await;
    let begun = async || world.login.begin("/").await.unwrap().redirect;
    let mut browser = Browser::new();
    browser.sign_in(begun().await, "ops").await;
    assert!(!browser.is_asked(begun().await).await, "the provider lets whoever comes next in as the one before");
    let leads = world.login.sign_out().await.unwrap().unwrap();
    assert_eq!(browser.sign_out(leads).await.as_str(), "http://127.0.0.1:9/signed-out");
    assert!(browser.is_asked(begun().await).await);
    world.database.close().await;
}

/// Whatever stands in the provider's document, people can sign in; and nobody is sent where nobody should be.
#[tokio::test]
async fn an_end_of_sessions_that_is_no_https_address_is_not_used_and_costs_no_login() {
    let database = Database::new().await;
    let secrets = tempfile::tempdir().unwrap();
    keep_secret(&secrets, "the-clients-secret");
    let back = "client_id=distribution&post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fsigned-out";
    for (told, leads) in [
        (json!("https://id.example.org/out?realm=a"), Some(format!("https://id.example.org/out?realm=a&{back}"))),
        (json!("http://id.example.org/out"), None),
        (json!("javascript:alert(1)"), None),
        (json!(""), None),
        (json!(7), None),
        (Value::Null, None),
    ] {
        let issuer = Issuer::publishing(&[]).await;
        let name = issuer.jwks_url.strip_suffix("/jwks").unwrap();
        issuer.publish_raw(json!({
            "issuer": name, "authorization_endpoint": format!("{name}/auth"), "jwks_uri": issuer.jwks_url, "keys": [],
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"], "end_session_endpoint": told,
        }));
        let login = login_at(name, &secrets, &database);
        assert!(login.ready().await, "{told}");
        assert_eq!(login.sign_out().await.unwrap().map(String::from), leads, "{told}");
    }
    database.close().await;
}

#[test]
fn a_provider_that_others_can_speak_for_is_refused() {
    use adapters::identity::ProviderUrl;
    for good in ["https://id.example.org/realms/a", "http://localhost:8080", "http://127.0.0.1:9", "http://[::1]/"] {
        assert_eq!(good.parse::<ProviderUrl>().unwrap().as_str(), good);
    }
    for bad in [
        "http://id.example.org",
        "https://u:p@id.example.org",
        "https://id.example.org/#x",
        "id.example.org",
        "file:///x",
    ] {
        assert!(bad.parse::<ProviderUrl>().is_err(), "{bad}");
    }
}
