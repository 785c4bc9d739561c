//! AWS Secrets Manager, against moto: what is kept there, for how long a value is used, and whose secrets are left alone.

use std::time::Duration;

use adapters::secrets::{KEPT_FOR, SecretError, SecretStore as _, Secrets};
use aws_sdk_secretsmanager::Client;
use chrono::Utc;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::folder::of;
use crate::moto::Moto;

const NAME: &str = "aws:prod/hostaway-bali";

fn value(text: &str) -> SecretString {
    SecretString::from(text)
}

async fn read(secrets: &Secrets) -> Result<(String, Option<String>), SecretError> {
    let found = secrets.read(&of(NAME)).await?;
    let shown = |value: SecretString| value.expose_secret().to_owned();
    Ok((shown(found.current), found.previous.map(shown)))
}

fn over(moto: &Moto) -> Secrets {
    Secrets::new("/nonexistent".as_ref(), None).with_aws(moto.secrets(KEPT_FOR))
}

/// What another tool does to the secret.
async fn elsewhere(client: &Client, text: &str) {
    client.put_secret_value().secret_id(of(NAME).name()).secret_string(text).send().await.unwrap();
}

#[tokio::test]
async fn a_secret_is_kept_rotated_and_deleted_at_aws() {
    let moto = Moto::start().await;
    let secrets = over(&moto);
    assert!(matches!(read(&secrets).await, Err(SecretError::Missing { .. })));
    secrets.create(&of(NAME), value("one")).await.unwrap();
    assert!(matches!(secrets.create(&of(NAME), value("two")).await, Err(SecretError::Exists { .. })));
    assert_eq!(read(&secrets).await.unwrap(), ("one".to_owned(), None));
    secrets.rotate(&of(NAME), value("two")).await.unwrap();
    assert_eq!(read(&secrets).await.unwrap(), ("two".to_owned(), Some("one".to_owned())), "AWSPREVIOUS");
    secrets.rotate(&of(NAME), value("two")).await.unwrap();
    assert_eq!(read(&secrets).await.unwrap(), ("two".to_owned(), Some("one".to_owned())), "it is one rotation");
    secrets.rotate(&of(NAME), value("one")).await.unwrap();
    assert_eq!(read(&secrets).await.unwrap(), ("one".to_owned(), Some("two".to_owned())), "and back");
    elsewhere(&moto.client(), "one").await;
    let now = secrets.read_anew(&of(NAME)).await.unwrap();
    assert!(now.previous.is_none(), "AWSPREVIOUS is the same");
    let age = Utc::now() - secrets.put_at(&of(NAME)).await.unwrap();
    assert!(age.num_minutes().abs() < 5, "{age}");
    secrets.delete(&of(NAME)).await.unwrap();
    assert!(read(&secrets).await.is_err());
    // It can be restored yet, and is gone for whoever asks.
    for gone in [secrets.delete(&of(NAME)).await.err(), secrets.put_at(&of(NAME)).await.err()] {
        assert!(matches!(gone, Some(SecretError::Missing { .. })), "{gone:?}");
    }
    let rotated = secrets.rotate(&of("aws:absent"), value("x")).await;
    assert!(matches!(rotated, Err(SecretError::Missing { .. })), "{rotated:?}");
}

#[tokio::test]
async fn a_version_of_ours_is_taken_back_while_it_is_the_current_one() {
    let moto = Moto::start().await;
    let (secrets, lost, overtaken) = (over(&moto), Uuid::now_v7(), Uuid::now_v7());
    secrets.create(&of(NAME), value("one")).await.unwrap();
    secrets.rotate_as(&of(NAME), value("two"), lost).await.unwrap();
    assert_eq!(read(&secrets).await.unwrap().0, "two");
    assert!(!secrets.take_back(&of(NAME), overtaken).await.unwrap(), "it was never put there");
    assert!(secrets.take_back(&of(NAME), lost).await.unwrap());
    assert_eq!(read(&secrets).await.unwrap(), ("one".to_owned(), Some("two".to_owned())));
    assert!(!secrets.take_back(&of(NAME), lost).await.unwrap(), "once");
    secrets.rotate_as(&of(NAME), value("three"), overtaken).await.unwrap();
    elsewhere(&moto.client(), "four").await;
    assert!(!secrets.take_back(&of(NAME), overtaken).await.unwrap(), "another one took its place");
    assert_eq!(secrets.read_anew(&of(NAME)).await.unwrap().current.expose_secret(), "four");
    secrets.delete(&of(NAME)).await.unwrap();
    let gone = secrets.take_back(&of(NAME), lost).await;
    assert!(matches!(gone, Err(SecretError::Missing { .. })), "{gone:?}");
}

#[tokio::test]
async fn what_was_made_as_ours_at_aws_is_deleted_while_nothing_took_its_place() {
    let moto = Moto::start().await;
    let (secrets, client, put) = (over(&moto), moto.client(), Uuid::now_v7());
    secrets.create_as(&of(NAME), value("one"), put).await.unwrap();
    assert!(!secrets.take_back(&of(NAME), put).await.unwrap(), "none held before, and it stays");
    assert!(!secrets.delete_as(&of(NAME), Uuid::now_v7()).await.unwrap(), "it is another one");
    elsewhere(&client, "two").await;
    assert!(!secrets.delete_as(&of(NAME), put).await.unwrap(), "another one took its place");
    assert_eq!(secrets.read_anew(&of(NAME)).await.unwrap().current.expose_secret(), "two");
    let (other, put) = (of("aws:distribution.other"), Uuid::now_v7());
    secrets.create_as(&other, value("one"), put).await.unwrap();
    assert!(secrets.delete_as(&other, put).await.unwrap());
    let gone = secrets.delete_as(&other, put).await;
    assert!(matches!(gone, Err(SecretError::Missing { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_value_is_used_for_a_minute_and_asked_for_anew_once_it_was_refused() {
    let moto = Moto::start().await;
    let (secrets, client) = (over(&moto), moto.client());
    secrets.create(&of(NAME), value("one")).await.unwrap();
    assert_eq!(read(&secrets).await.unwrap().0, "one");
    elsewhere(&client, "two").await;
    assert_eq!(read(&secrets).await.unwrap().0, "one", "it is kept");
    assert_eq!(secrets.read_anew(&of(NAME)).await.unwrap().current.expose_secret(), "two");
    assert_eq!(read(&secrets).await.unwrap(), ("two".to_owned(), Some("one".to_owned())));
    let forgetful = Secrets::new("/nonexistent".as_ref(), None).with_aws(moto.secrets(Duration::ZERO));
    for text in ["three", "four"] {
        elsewhere(&client, text).await;
        assert_eq!(read(&forgetful).await.unwrap().0, text, "its time is over");
    }
}

#[tokio::test]
async fn a_secret_that_others_made_is_read_and_not_deleted() {
    let moto = Moto::start().await;
    let (secrets, client) = (over(&moto), moto.client());
    client.create_secret().name(of(NAME).name()).secret_string("theirs").send().await.unwrap();
    assert_eq!(read(&secrets).await.unwrap().0, "theirs");
    let kept = secrets.delete(&of(NAME)).await.unwrap_err();
    assert!(matches!(kept, SecretError::ReadOnly { .. }), "{kept}");
    assert_eq!(secrets.read_anew(&of(NAME)).await.unwrap().current.expose_secret(), "theirs");
}

#[tokio::test]
async fn who_asks_anew_in_vain_takes_the_kept_value_from_nobody() {
    let moto = Moto::start().await;
    let secrets = over(&moto);
    secrets.create(&of(NAME), value("one")).await.unwrap();
    secrets.rotate(&of(NAME), value("two")).await.unwrap();
    let kept = ("two".to_owned(), Some("one".to_owned()));
    assert_eq!(read(&secrets).await.unwrap(), kept);
    drop(moto);
    let refused = secrets.read_anew(&of(NAME)).await.unwrap_err();
    assert!(matches!(refused, SecretError::Unreachable { .. }), "{refused}");
    assert_eq!(read(&secrets).await.unwrap(), kept);
}

#[tokio::test]
async fn an_older_value_serves_while_aws_is_out_of_reach_and_is_not_asked_for_again_and_again() {
    let moto = Moto::start().await;
    let secrets = Secrets::new("/nonexistent".as_ref(), None).with_aws(moto.secrets(Duration::ZERO));
    secrets.create(&of(NAME), value("one")).await.unwrap();
    let kept = ("one".to_owned(), None);
    assert_eq!(read(&secrets).await.unwrap(), kept);
    let address = moto.address();
    drop(moto);
    assert_eq!(read(&secrets).await.unwrap(), kept, "its time is over, and nobody knows of another one");
    let refused = secrets.read_anew(&of(NAME)).await.unwrap_err();
    assert!(matches!(refused, SecretError::Unreachable { .. }), "{refused}");
    let silent = std::net::TcpListener::bind(&address).unwrap();
    silent.set_nonblocking(true).unwrap();
    let again = tokio::time::timeout(Duration::from_secs(3), read(&secrets)).await;
    assert_eq!(again.expect("who asks waits for long").unwrap(), kept);
    assert_eq!(silent.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it was asked in vain just now");
}

#[tokio::test]
async fn aws_out_of_reach_is_no_missing_secret_and_shows_no_value() {
    let moto = Moto::start().await;
    let secrets = over(&moto);
    drop(moto);
    let marked = "marked-value-77aa";
    for refused in [secrets.create(&of(NAME), value(marked)).await, read(&secrets).await.map(|_| ())] {
        let error = refused.unwrap_err();
        assert!(matches!(error, SecretError::Unreachable { .. }), "{error}");
        assert!(!format!("{error:?} {error}").contains(marked), "{error}");
    }
}
