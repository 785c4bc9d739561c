//! Local secrets: what is read, what is refused, and that no error shows a value.

use adapters::secrets::{SecretError, SecretStore as _, Secrets};
use secrecy::ExposeSecret as _;

use crate::fixture::write_secret;

async fn read(dir: &tempfile::TempDir, reference: &str) -> Result<String, SecretError> {
    let secrets = Secrets::new(dir.path(), None);
    secrets.read(&reference.parse().unwrap()).await.map(|secret| secret.current.expose_secret().to_owned())
}

#[tokio::test]
async fn a_file_gives_its_text_without_the_last_newline() {
    let dir = tempfile::tempdir().unwrap();
    write_secret(dir.path(), "one", "value\n", 0o600);
    write_secret(dir.path(), "two", "value\n\n", 0o400);
    assert_eq!(read(&dir, "file:one").await.unwrap(), "value");
    assert_eq!(read(&dir, "file:two").await.unwrap(), "value\n");
    assert_eq!(read(&dir, "env:PATH").await.unwrap(), std::env::var("PATH").unwrap());
}

#[tokio::test]
async fn a_file_that_others_may_read_is_refused_with_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o640, 0o604, 0o620] {
        write_secret(dir.path(), "open", "value", mode);
        let error = read(&dir, "file:open").await.unwrap_err();
        assert!(matches!(error, SecretError::Exposed { .. }), "{error}");
        let words = error.to_string();
        assert!(words.contains("chmod 600") && !words.contains("value"), "{words}");
    }
}

#[tokio::test]
async fn what_is_missing_or_empty_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write_secret(dir.path(), "empty", "\n", 0o600);
    assert!(matches!(read(&dir, "file:absent").await, Err(SecretError::Missing { .. })));
    assert!(matches!(read(&dir, "env:NO_SUCH_VARIABLE_HERE").await, Err(SecretError::Missing { .. })));
    assert!(matches!(read(&dir, "file:empty").await, Err(SecretError::Unusable { .. })));
}
