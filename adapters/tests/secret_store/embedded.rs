//! The embedded store: an encrypted file, its key, and writers at the same time.

use std::os::unix::fs::PermissionsExt as _;

use adapters::secrets::{SecretError, SecretStore as _, Secrets, Standing};
use chrono::{TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::folder::{Folder, of};

const MARK: &str = "marked-value-5b1e";

#[tokio::test]
async fn a_secret_is_kept_rotated_and_forgotten() {
    let folder = Folder::new();
    folder.create("store:hostaway", "one").await.unwrap();
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("one".to_owned(), None));
    let again = folder.create("store:hostaway", "two").await.unwrap_err();
    assert!(matches!(again, SecretError::Exists { .. }), "{again}");
    assert_eq!(folder.secrets.listed().await.unwrap(), [of("store:hostaway")]);
    let first_put_at = folder.secrets.put_at(&of("store:hostaway")).await.unwrap();

    folder.rotate("store:hostaway", "two").await.unwrap();
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("two".to_owned(), Some("one".to_owned())));
    folder.rotate("store:hostaway", "three").await.unwrap();
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("three".to_owned(), Some("two".to_owned())));
    folder.rotate("store:hostaway", "two").await.unwrap();
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("two".to_owned(), Some("three".to_owned())), "and back");
    assert!(folder.secrets.put_at(&of("store:hostaway")).await.unwrap() > first_put_at, "it counts anew");

    folder.secrets.delete(&of("store:hostaway")).await.unwrap();
    for gone in [folder.read("store:hostaway").await.map(|_| ()), folder.rotate("store:hostaway", "four").await] {
        assert!(matches!(gone, Err(SecretError::Missing { .. })), "{gone:?}");
    }
}

#[tokio::test]
async fn the_value_of_before_is_given_for_a_while_and_then_gone_from_the_file() {
    let folder = Folder::new();
    folder.create("store:hostaway", "one").await.unwrap();
    folder.rotate("store:hostaway", "two").await.unwrap();
    let long_ago = "2020-01-01T00:00:00Z";
    folder.tamper(|contents| contents["secrets"]["hostaway"]["previous"]["until"] = long_ago.into());
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("two".to_owned(), None));
    assert_eq!(folder.secrets.store.list().unwrap()[0].previous_until, None);
    folder.create("store:other", "x").await.unwrap();
    folder.tamper(|contents| assert!(contents["secrets"]["hostaway"].get("previous").is_none(), "{contents}"));
}

#[tokio::test]
async fn a_pending_value_keeps_the_one_of_before_until_it_is_settled_or_taken_back() {
    let folder = Folder::new();
    let (hostaway, long_ago) = (of("store:hostaway"), "2020-01-01T00:00:00Z");
    let yesterday = Utc::now() - TimeDelta::days(1);
    let put = |value: &'static str| {
        let put = Uuid::now_v7();
        let (secrets, hostaway) = (folder.secrets.clone(), hostaway.clone());
        async move { secrets.rotate_as(&hostaway, SecretString::from(value), put).await.map(|()| put).unwrap() }
    };
    folder.create("store:hostaway", "one").await.unwrap();
    let lost = put("two").await;
    folder.tamper(|contents| contents["secrets"]["hostaway"]["previous"]["until"] = yesterday.to_rfc3339().into());
    folder.create("store:other", "x").await.unwrap();
    let told = || {
        let entry = folder.secrets.store.list().unwrap().remove(0);
        (entry.standing, entry.previous_until)
    };
    assert_eq!(told(), (Standing::Pending, Some(yesterday + TimeDelta::days(7))), "as long as it is given");
    let both = ("two".to_owned(), Some("one".to_owned()));
    assert_eq!(folder.read("store:hostaway").await.unwrap(), both, "longer than one that is not");
    assert!(!folder.secrets.take_back(&hostaway, Uuid::now_v7()).await.unwrap(), "it is another one");
    assert!(folder.secrets.take_back(&hostaway, lost).await.unwrap());
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("one".to_owned(), Some("two".to_owned())));
    let (standing, until) = told();
    assert!(
        standing == Standing::TakenBack && until.is_some_and(|until| until < Utc::now() + TimeDelta::minutes(6)),
        "{until:?}"
    );
    // Who died before it could say so asks again.
    assert!(folder.secrets.take_back(&hostaway, lost).await.unwrap(), "it is told what became of it");
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("one".to_owned(), Some("two".to_owned())), "once");

    let settled = put("three").await;
    folder.secrets.settle(&hostaway, settled).await.unwrap();
    assert!(!folder.secrets.take_back(&hostaway, settled).await.unwrap(), "it stays");
    let (standing, until) = told();
    assert!(
        standing == Standing::Settled && until.is_some_and(|until| until < Utc::now() + TimeDelta::minutes(6)),
        "{until:?}"
    );
    folder.tamper(|contents| contents["secrets"]["hostaway"]["previous"]["until"] = long_ago.into());
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("three".to_owned(), None));

    // Whoever puts the same value there means it, and whoever puts another one has taken its place.
    for (pending, value) in [("four", "four"), ("five", "six")] {
        let overtaken = put(pending).await;
        folder.rotate("store:hostaway", value).await.unwrap();
        assert!(!folder.secrets.take_back(&hostaway, overtaken).await.unwrap(), "{value}");
        assert_eq!(folder.read("store:hostaway").await.unwrap().0, value);
    }
    // The same value by two changes: the later one knows what held before both.
    let (first, second) = (put("seven").await, put("seven").await);
    assert!(!folder.secrets.take_back(&hostaway, first).await.unwrap(), "the other one may stay");
    assert!(folder.secrets.take_back(&hostaway, second).await.unwrap());
    assert_eq!(folder.read("store:hostaway").await.unwrap().0, "six");
    // Of one whose end nobody will know, as the database is another one, the value of before goes after a week.
    put("eight").await;
    folder.tamper(|contents| contents["secrets"]["hostaway"]["previous"]["until"] = long_ago.into());
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("eight".to_owned(), None));
    folder.secrets.delete(&hostaway).await.unwrap();
    let gone = folder.secrets.take_back(&hostaway, settled).await;
    assert!(matches!(gone, Err(SecretError::Missing { .. })), "{gone:?}");
}

#[tokio::test]
async fn what_was_made_for_a_change_that_is_lost_goes_and_what_became_more_of_it_stays() {
    let folder = Folder::new();
    let hostaway = of("store:hostaway");
    let made = async || {
        let put = Uuid::now_v7();
        folder.secrets.create_as(&hostaway, SecretString::from("one"), put).await.map(|()| put)
    };
    // In the place of one that was lost, and of a target that was not made.
    let put = made().await.unwrap();
    let twice = folder.secrets.create_as(&hostaway, SecretString::from("two"), Uuid::now_v7()).await;
    assert!(matches!(twice, Err(SecretError::Exists { .. })), "{twice:?}");
    assert!(!folder.secrets.take_back(&hostaway, Uuid::now_v7()).await.unwrap(), "it is another one");
    assert!(folder.secrets.take_back(&hostaway, put).await.unwrap());
    let put = made().await.unwrap();
    assert!(!folder.secrets.delete_as(&hostaway, Uuid::now_v7()).await.unwrap(), "it is another one");
    assert!(folder.secrets.delete_as(&hostaway, put).await.unwrap());
    let gone = folder.secrets.delete_as(&hostaway, put).await;
    assert!(matches!(gone, Err(SecretError::Missing { .. })), "{gone:?}");

    let settled = made().await.unwrap();
    folder.secrets.settle(&hostaway, settled).await.unwrap();
    assert!(!folder.secrets.delete_as(&hostaway, settled).await.unwrap(), "it is in use");
    folder.secrets.delete(&hostaway).await.unwrap();
    let rotated = made().await.unwrap();
    folder.rotate("store:hostaway", "two").await.unwrap();
    assert!(!folder.secrets.delete_as(&hostaway, rotated).await.unwrap(), "another one took its place");
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("two".to_owned(), Some("one".to_owned())));
}

#[tokio::test]
async fn what_a_crash_has_left_of_a_write_goes_with_the_next_one_and_when_somebody_tidies() {
    let folder = Folder::new();
    folder.create("store:hostaway", "one").await.unwrap();
    let store = folder.path().join(".store");
    let names = || {
        let entries = std::fs::read_dir(&store).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    // As builds of before called it, and as it is called now.
    let crash = || {
        for name in [".tmpIgeHLr", ".secrets.json.new"] {
            std::fs::copy(store.join("secrets.json"), store.join(name)).unwrap();
        }
    };
    crash();
    folder.create("store:other", "two").await.unwrap();
    assert_eq!(names(), ["key", "lock", "secrets.json"]);
    crash();
    folder.secrets.tidy().await.unwrap();
    assert_eq!(names(), ["key", "lock", "secrets.json"]);
    assert_eq!(folder.read("store:hostaway").await.unwrap().0, "one");

    // While somebody writes nothing of that is touched.
    let held = std::fs::File::options().append(true).open(store.join("lock")).unwrap();
    held.lock().unwrap();
    crash();
    let secrets = folder.secrets.clone();
    let tidying = tokio::spawn(async move { secrets.tidy().await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!tidying.is_finished() && names().len() == 5, "{:?}", names());
    held.unlock().unwrap();
    tidying.await.unwrap().unwrap();
    assert_eq!(names(), ["key", "lock", "secrets.json"]);
    Secrets::new(&folder.path().join("absent"), None).tidy().await.unwrap();
    assert!(!folder.path().join("absent").exists(), "a look makes nothing");
}

#[tokio::test]
async fn the_value_that_is_there_rotated_in_again_leaves_the_one_of_before_and_its_time() {
    let folder = Folder::new();
    folder.create("store:hostaway", "one").await.unwrap();
    folder.rotate("store:hostaway", "one").await.unwrap();
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("one".to_owned(), None));
    folder.rotate("store:hostaway", "two").await.unwrap();
    let first = folder.secrets.store.list().unwrap();
    folder.rotate("store:hostaway", "two").await.unwrap();
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("two".to_owned(), Some("one".to_owned())));
    assert_eq!(folder.secrets.store.list().unwrap(), first);
    // As an older build wrote it.
    folder.tamper(|contents| {
        let sealed = &mut contents["secrets"]["hostaway"];
        sealed["previous"]["value"] = sealed["value"].clone();
    });
    assert_eq!(folder.read("store:hostaway").await.unwrap(), ("two".to_owned(), None));
}

#[tokio::test]
async fn no_file_shows_a_value_and_none_is_open_to_others() {
    let folder = Folder::new();
    folder.create("store:hostaway", MARK).await.unwrap();
    folder.rotate("store:hostaway", &format!("{MARK}-2")).await.unwrap();
    let store = folder.path().join(".store");
    assert_eq!(std::fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o700);
    let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(store).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(MARK) && !text.contains(&hex), "{}", path.display());
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
        if !names.ends_with(&["lock".to_owned()]) {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }
    names.sort();
    assert_eq!(names, ["key", "lock", "secrets.json"], "nothing is left of a write");
    let secret = folder.secrets.read(&of("store:hostaway")).await.unwrap();
    assert!(!format!("{secret:?}").contains(MARK), "{secret:?}");
}

#[tokio::test]
async fn a_key_that_others_may_read_is_refused_with_the_fix() {
    let folder = Folder::new();
    folder.create("store:hostaway", MARK).await.unwrap();
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(folder.key(), std::fs::Permissions::from_mode(mode)).unwrap();
        for refused in [folder.read("store:hostaway").await.map(|_| ()), folder.rotate("store:hostaway", "x").await] {
            let error = refused.unwrap_err();
            assert!(matches!(error, SecretError::Exposed { .. }), "{error}");
            assert!(error.to_string().contains("chmod 600") && !error.to_string().contains(MARK), "{error}");
        }
    }
}

#[tokio::test]
async fn a_lost_or_foreign_key_is_said_and_never_replaced() {
    let folder = Folder::new();
    folder.create("store:hostaway", MARK).await.unwrap();
    let kept = std::fs::read(folder.key()).unwrap();
    std::fs::remove_file(folder.key()).unwrap();
    for refused in [folder.read("store:hostaway").await.map(|_| ()), folder.create("store:other", "x").await] {
        let error = refused.unwrap_err();
        assert!(matches!(error, SecretError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&folder.key().display().to_string()), "{error}");
    }
    assert!(!folder.key().exists(), "a new one would only hide that the old one is lost");
    let foreign = Folder::new();
    foreign.create("store:any", "x").await.unwrap();
    std::fs::copy(foreign.key(), folder.key()).unwrap();
    let error = folder.read("store:hostaway").await.unwrap_err();
    assert!(error.to_string().contains("does not belong to this key"), "{error}");
    std::fs::write(folder.key(), kept).unwrap();
    assert_eq!(folder.read("store:hostaway").await.unwrap().0, MARK);
}

#[tokio::test]
async fn a_value_that_was_moved_or_changed_is_refused() {
    let folder = Folder::new();
    folder.create("store:bali", "one").await.unwrap();
    folder.create("store:crete", "two").await.unwrap();
    folder.tamper(|contents| contents["secrets"]["bali"]["value"] = contents["secrets"]["crete"]["value"].clone());
    let moved = folder.read("store:bali").await.unwrap_err();
    assert!(matches!(moved, SecretError::Damaged { .. }), "{moved}");
    for broken in ["", "zz", "00", &"00".repeat(40)] {
        folder.tamper(|contents| contents["secrets"]["crete"]["value"] = broken.into());
        let error = folder.read("store:crete").await.unwrap_err();
        assert!(matches!(error, SecretError::Damaged { .. }), "{error}");
    }
    folder.tamper(|contents| contents["version"] = 2.into());
    assert!(folder.read("store:crete").await.unwrap_err().to_string().contains("version 2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_the_same_time_lose_nothing_and_make_one_key() {
    let folder = Folder::new();
    let path = folder.path().to_owned();
    let writers: Vec<_> = (0..24)
        .map(|n| {
            // Each as a process of its own would be.
            let secrets = Secrets::new(&path, None);
            tokio::spawn(async move {
                secrets.create(&of(&format!("store:s{n}")), SecretString::from(format!("v{n}"))).await
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    for n in 0..24 {
        assert_eq!(folder.read(&format!("store:s{n}")).await.unwrap().0, format!("v{n}"));
    }
    assert_eq!(folder.secrets.store.list().unwrap().len(), 24);
}

#[tokio::test]
async fn the_key_may_lie_somewhere_else() {
    let (folder, elsewhere) = (Folder::new(), tempfile::tempdir().unwrap());
    let secrets = Secrets::new(folder.path(), Some(elsewhere.path().join("key")));
    secrets.create(&of("store:hostaway"), SecretString::from(MARK)).await.unwrap();
    assert!(!folder.key().exists() && elsewhere.path().join("key").exists());
    assert_eq!(secrets.read(&of("store:hostaway")).await.unwrap().current.expose_secret(), MARK);
    assert!(folder.read("store:hostaway").await.is_err());
}
