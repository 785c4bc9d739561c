//! What is refused, whoever keeps the secret.

use adapters::secrets::{LONGEST_VALUE, SecretError, SecretStore as _, read_value};
use secrecy::ExposeSecret as _;

use crate::folder::{Folder, of};

#[tokio::test]
async fn files_and_the_environment_are_only_read() {
    let folder = Folder::new();
    for name in ["file:hostaway", "env:HOSTAWAY"] {
        for refused in
            [folder.create(name, "x").await, folder.rotate(name, "x").await, folder.secrets.delete(&of(name)).await]
        {
            assert!(matches!(refused, Err(SecretError::ReadOnly { .. })), "{refused:?}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_was_never_kept_is_missing_and_makes_no_files() {
    let folder = Folder::new();
    let read = folder.read("store:absent").await.map(|_| ());
    for missing in [read, folder.secrets.delete(&of("store:absent")).await] {
        assert!(matches!(missing, Err(SecretError::Missing { .. })), "{missing:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_value_that_is_none_is_refused() {
    let folder = Folder::new();
    for value in [String::new(), "x".repeat(LONGEST_VALUE + 1)] {
        let refused = folder.create("store:hostaway", &value).await.unwrap_err();
        assert!(matches!(refused, SecretError::Unusable { .. }), "{refused}");
    }
}

#[test]
fn a_value_is_a_text_without_its_last_newline() {
    for (given, value) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
        assert_eq!(read_value(given.as_bytes()).unwrap().expose_secret(), value);
    }
    for (given, why) in [(&b""[..], "empty"), (b"\n", "empty"), (b"\xff\xfe", "UTF-8"), (&[b'x'; 70_000], "longer")] {
        assert!(read_value(given).unwrap_err().to_string().contains(why), "{why}");
    }
}
