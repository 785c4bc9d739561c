//! One-time sign-in links.

use adapters::identity::SignInLinks;
use secrecy::ExposeSecret as _;

use crate::database::{Database, somebody};

#[tokio::test]
async fn a_link_lets_its_person_in_once() {
    let database = Database::new().await;
    let links = SignInLinks::new(database.pool.clone());
    let link = links.create(&somebody("ana"), "ops").await.unwrap();
    let code = link.code.expose_secret();
    assert_eq!(links.redeem(code).await.unwrap(), Some(somebody("ana")));
    assert_eq!(links.redeem(code).await.unwrap(), None);
    assert_eq!(links.redeem("made up").await.unwrap(), None);
    database.close().await;
}

#[tokio::test]
async fn of_many_uses_at_the_same_time_one_succeeds() {
    let database = Database::new().await;
    let links = SignInLinks::new(database.pool.clone());
    let link = links.create(&somebody("ana"), "ops").await.unwrap();
    let uses = (0..8).map(|_| links.redeem(link.code.expose_secret()));
    let let_in = futures::future::join_all(uses).await;
    assert_eq!(let_in.into_iter().filter(|used| used.as_ref().unwrap().is_some()).count(), 1);
    database.close().await;
}

#[tokio::test]
async fn a_link_expires_and_its_code_is_nowhere_kept() {
    let database = Database::new().await;
    let links = SignInLinks::new(database.pool.clone());
    let link = links.create(&somebody("ana"), "ops").await.unwrap();
    let minutes = (link.expires_at - chrono::Utc::now()).num_seconds();
    assert!((14 * 60..=15 * 60).contains(&minutes), "{minutes}");
    let code = link.code.expose_secret();
    assert!(code.len() == 43 && !database.dump("sign_in_links").await.contains(code));
    database.run("UPDATE sign_in_links SET expires_at = now()").await;
    assert_eq!(links.redeem(code).await.unwrap(), None);
    database.close().await;
}
