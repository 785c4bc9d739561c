//! Whose the store's files are: the one's who has its folder, also where root writes. Only root can be several accounts: for anybody else
//! there is nothing to see here.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use adapters::secrets::{SecretStore as _, Secrets};
use secrecy::SecretString;

use crate::folder::{Folder, of};

/// An account that this machine has no name for.
const SERVICE: u32 = 61_234;

#[tokio::test]
async fn a_file_that_root_replaces_keeps_its_owner_and_mode_and_a_new_one_has_the_folders() {
    let folder = Folder::new();
    if folder.path().metadata().unwrap().uid() != 0 {
        return;
    }
    chown(folder.path(), Some(SERVICE), Some(SERVICE)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let key = elsewhere.path().join("key");
    let secrets = Secrets::new(folder.path(), Some(key.clone()));
    secrets.create(&of("store:hostaway"), SecretString::from("one")).await.unwrap();
    let store = folder.path().join(".store");
    let sealed = store.join("secrets.json");
    for path in [&store, &sealed, &store.join("lock"), &key] {
        let about = path.metadata().unwrap();
        assert_eq!((about.uid(), about.gid()), (SERVICE, SERVICE), "{}", path.display());
    }
    assert_eq!(secrets.store.strangers(), None);

    // One that somebody has given to a group stays so.
    chown(&sealed, Some(SERVICE), Some(0)).unwrap();
    std::fs::set_permissions(&sealed, std::fs::Permissions::from_mode(0o640)).unwrap();
    secrets.rotate(&of("store:hostaway"), SecretString::from("two")).await.unwrap();
    let about = sealed.metadata().unwrap();
    assert_eq!((about.uid(), about.gid(), about.permissions().mode() & 0o777), (SERVICE, 0, 0o640));

    chown(&key, Some(0), Some(0)).unwrap();
    let strangers = secrets.store.strangers().unwrap();
    assert_eq!((strangers.owner, strangers.paths), (format!("{SERVICE}:{SERVICE}"), vec![key]));
}
