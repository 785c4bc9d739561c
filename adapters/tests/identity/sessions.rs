//! Sessions: they end when they must, and what is kept lets nobody in.

use adapters::identity::{
    SESSION_COOKIE, Sessions, SignInLinks, SignedIn, Way, csrf_matches, csrf_token, session_cookie_removal,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::access::CredentialKind;
use domain::ids::OrgId;
use secrecy::ExposeSecret as _;

use crate::database::{Database, somebody};

async fn begun(sessions: &Sessions, subject: &str) -> SignedIn {
    sessions.begin(somebody(subject), Way::Link, None).await.unwrap()
}

#[tokio::test]
async fn a_cookie_stands_for_its_person_until_it_is_signed_out() {
    let database = Database::new().await;
    let sessions = Sessions::new(database.pool.clone());
    let begun = begun(&sessions, "ana").await;
    let caller = sessions.find(begun.cookie.value()).await.unwrap().unwrap();
    assert_eq!(caller, begun.caller);
    assert_eq!(caller, somebody("ana").caller(CredentialKind::Session, caller.credential_id.clone()));
    assert!(sessions.end(begun.cookie.value()).await.unwrap());
    assert!(!sessions.end(begun.cookie.value()).await.unwrap());
    assert_eq!(sessions.find(begun.cookie.value()).await.unwrap(), None);
    assert_eq!(database.dump("sessions").await, "");
    database.close().await;
}

#[tokio::test]
async fn a_cookie_that_may_be_good_is_told_from_one_that_is_made_up() {
    let database = Database::new().await;
    let (here, elsewhere) = (Sessions::new(database.pool.clone()), Sessions::new(database.pool.clone()));
    let ana = begun(&elsewhere, "ana").await;
    for (value, may_be) in [(ana.cookie.value(), true), ("made-up", false), ("", false)] {
        assert_eq!(here.may_be_one(value).await.unwrap(), may_be, "{value}");
    }
    // Who comes in here is seen at once, and who came in elsewhere, or went, a second later at most.
    let ben = begun(&here, "ben").await;
    assert!(here.may_be_one(ben.cookie.value()).await.unwrap());
    let cleo = begun(&elsewhere, "cleo").await;
    here.end(ana.cookie.value()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    for (session, may_be) in [(&ana, false), (&ben, true), (&cleo, true)] {
        assert_eq!(here.may_be_one(session.cookie.value()).await.unwrap(), may_be, "{}", session.caller.subject);
    }
    database.close().await;
}

#[tokio::test]
async fn the_cookie_is_for_this_host_alone_and_its_value_is_nowhere_kept() {
    let database = Database::new().await;
    let sessions = Sessions::new(database.pool.clone());
    let begun = begun(&sessions, "ana").await;
    let value = begun.cookie.value();
    let expected = format!("{SESSION_COOKIE}={value}; HttpOnly; SameSite=Lax; Secure; Path=/");
    assert_eq!((begun.cookie.to_string(), value.len(), SESSION_COOKIE), (expected, 43, "__Host-distribution"));
    let kept = database.dump("sessions").await;
    assert!(!kept.contains(value) && !kept.contains(&begun.csrf_token), "{kept}");
    assert!(!begun.caller.credential_id.contains(value));
    let removal = session_cookie_removal().to_string();
    assert!(removal.starts_with("__Host-distribution=; ") && removal.contains("Max-Age=0"), "{removal}");
    assert!(removal.contains("Secure") && removal.contains("Path=/"), "{removal}");
    database.close().await;
}

#[tokio::test]
async fn what_is_no_cookie_of_ours_stands_for_nobody() {
    let database = Database::new().await;
    let sessions = Sessions::new(database.pool.clone());
    let begun = begun(&sessions, "ana").await;
    let id = begun.caller.credential_id.clone();
    for value in ["", "x", id.as_str(), "' OR 1=1", &"y".repeat(100_000), &begun.cookie.value().to_uppercase()] {
        assert_eq!(sessions.find(value).await.unwrap(), None, "{value:.40}");
    }
    database.close().await;
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_in_any_case_after_its_time() {
    let database = Database::new().await;
    let sessions = Sessions::new(database.pool.clone());
    let idle = begun(&sessions, "ana").await;
    database.run("UPDATE sessions SET last_seen_at = now() - interval '29 minutes'").await;
    assert!(sessions.find(idle.cookie.value()).await.unwrap().is_some(), "and this request is noted");
    database.run("UPDATE sessions SET last_seen_at = last_seen_at - interval '29 minutes'").await;
    assert!(sessions.find(idle.cookie.value()).await.unwrap().is_some());
    database.run("UPDATE sessions SET last_seen_at = last_seen_at - interval '30 minutes'").await;
    assert_eq!(sessions.find(idle.cookie.value()).await.unwrap(), None);

    let busy = begun(&sessions, "ben").await;
    let span = "SELECT 1 FROM sessions WHERE subject = 'ben' AND expires_at = created_at + interval '12 hours'";
    assert_eq!(database.run(span).await, 1);
    database.run("UPDATE sessions SET expires_at = now() WHERE subject = 'ben'").await;
    assert_eq!(sessions.find(busy.cookie.value()).await.unwrap(), None);
    database.close().await;
}

#[tokio::test]
async fn a_request_is_noted_at_most_once_a_minute() {
    let database = Database::new().await;
    let sessions = Sessions::new(database.pool.clone());
    let begun = begun(&sessions, "ana").await;
    let row = "SELECT xmin::text FROM sessions";
    let version = async || sqlx::query_scalar::<_, String>(row).fetch_one(&database.pool).await.unwrap();
    database.run("UPDATE sessions SET last_seen_at = now() - interval '50 seconds'").await;
    let before = version().await;
    sessions.find(begun.cookie.value()).await.unwrap().unwrap();
    assert_eq!(version().await, before);
    database.run("UPDATE sessions SET last_seen_at = now() - interval '61 seconds'").await;
    let before = version().await;
    sessions.find(begun.cookie.value()).await.unwrap().unwrap();
    assert_ne!(version().await, before);
    database.close().await;
}

#[tokio::test]
async fn a_login_gives_a_new_session_and_ends_the_one_before() {
    let database = Database::new().await;
    let sessions = Sessions::new(database.pool.clone());
    for way in [Way::Link, Way::Provider] {
        let first = sessions.begin(somebody("ana"), way, None).await.unwrap();
        let second = sessions.begin(somebody("ana"), way, Some(first.cookie.value())).await.unwrap();
        assert_ne!(first.cookie.value(), second.cookie.value());
        assert_ne!(first.caller.credential_id, second.caller.credential_id);
        assert_eq!(sessions.find(first.cookie.value()).await.unwrap(), None);
        assert!(sessions.find(second.cookie.value()).await.unwrap().is_some());
    }
    // A value that an attacker has planted in the browser is not taken over.
    let planted = sessions.begin(somebody("ana"), Way::Link, Some("planted")).await.unwrap();
    assert_ne!(planted.cookie.value(), "planted");
    assert_eq!(sessions.find("planted").await.unwrap(), None);
    database.close().await;
}

#[tokio::test]
async fn a_person_is_signed_out_everywhere() {
    let database = Database::new().await;
    let sessions = Sessions::new(database.pool.clone());
    let links = SignInLinks::new(database.pool.clone());
    let of_ana = [begun(&sessions, "ana").await, begun(&sessions, "ana").await];
    let of_ben = begun(&sessions, "ben").await;
    let link = links.create(&somebody("ana"), "ops").await.unwrap();
    let other = OrgId::new("moonstay").unwrap();
    assert_eq!(sessions.end_all("ana", Some(&other)).await.unwrap(), 0);
    assert_eq!(sessions.end_all("ana", None).await.unwrap(), 2);
    for begun in &of_ana {
        assert_eq!(sessions.find(begun.cookie.value()).await.unwrap(), None);
    }
    assert_eq!(links.redeem(link.code.expose_secret()).await.unwrap(), None);
    assert!(sessions.find(of_ben.cookie.value()).await.unwrap().is_some());
    database.close().await;
}

#[tokio::test]
async fn a_sweep_takes_what_has_expired_and_nothing_else() {
    let database = Database::new().await;
    let sessions = Sessions::new(database.pool.clone());
    let links = SignInLinks::new(database.pool.clone());
    for subject in ["idle", "old", "here"] {
        begun(&sessions, subject).await;
        links.create(&somebody(subject), "ops").await.unwrap();
    }
    assert_eq!(sessions.sweep().await.unwrap(), 0);
    database.run("UPDATE sessions SET last_seen_at = now() - interval '30 minutes' WHERE subject = 'idle'").await;
    database.run("UPDATE sessions SET expires_at = now() WHERE subject = 'old'").await;
    database.run("UPDATE sign_in_links SET expires_at = now() WHERE subject = 'old'").await;
    assert_eq!(sessions.sweep().await.unwrap(), 3);
    assert_eq!(database.run("SELECT 1 FROM sessions WHERE subject = 'here'").await, 1);
    assert_eq!(database.run("SELECT 1 FROM sign_in_links").await, 2);
    database.close().await;
}

#[test]
fn a_csrf_token_belongs_to_one_session() {
    let (one, other) = ("value-of-one-cookie", "value-of-another-cookie");
    let token = csrf_token(one);
    assert!(csrf_matches(one, &token));
    assert!(!csrf_matches(other, &token));
    let (head, tail) = token.split_at(token.len() - 4);
    let cut = token[1..].to_owned();
    for wrong in ["", one, "AAAA", &cut, &format!("{head}AAAA"), &format!("{token}="), &format!("{tail}{head}")] {
        assert!(!csrf_matches(one, wrong), "{wrong}");
    }
    assert!(!token.contains(one));
    // No text of it stays, or the lengths of compressed pages would tell it.
    let again = csrf_token(one);
    assert!(csrf_matches(one, &again));
    let same = token.bytes().zip(again.bytes()).filter(|(a, b)| a == b).count();
    assert!(same < 20, "{same} characters of {} stay", token.len());
    // A page of an older build has what both stand for, without a pad.
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    let bare: Vec<u8> = bytes[..32].iter().zip(&bytes[32..]).map(|(pad, byte)| pad ^ byte).collect();
    assert!(csrf_matches(one, &URL_SAFE_NO_PAD.encode(&bare)) && !csrf_matches(other, &URL_SAFE_NO_PAD.encode(bare)));
}

#[tokio::test]
async fn who_came_in_by_a_link_is_signed_out_when_there_is_an_identity_provider() {
    let database = Database::new().await;
    let sessions = Sessions::new(database.pool.clone());
    let by_link = begun(&sessions, "ana").await;
    let by_provider = sessions.begin(somebody("ben"), Way::Provider, None).await.unwrap();
    let sessions = sessions.of_the_provider();
    assert_eq!(sessions.find(by_link.cookie.value()).await.unwrap(), None);
    assert_eq!(sessions.find(by_provider.cookie.value()).await.unwrap().unwrap().subject, "ben");
    database.close().await;
}
