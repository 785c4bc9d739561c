//! The address that the demo prints is that of the process that runs, whatever one before it has written to the same log.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use demo::listening::api;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn write(log: &Path, address: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    writeln!(file, "INFO services: the API listens at http://{address}; /api/docs describes it").unwrap();
}

fn empty_log(name: &str) -> PathBuf {
    let log = std::env::temp_dir().join(format!("demo-{name}-{}.log", std::process::id()));
    // One of an earlier process with the same id.
    let _ = std::fs::remove_file(&log);
    log
}

/// Answers whoever asks for the version, and nobody else.
async fn serve(listener: TcpListener) {
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut asked = [0; 1024];
        let read = connection.read(&mut asked).await.unwrap();
        assert!(asked[..read].starts_with(b"GET /version "));
        let body = r#"{"name":"distribution","version":"0.1.0"}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        connection.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn the_address_is_that_of_the_process_that_was_started_last_and_not_of_one_that_is_dead() {
    let log = empty_log("restarted");
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    write(&log, &dead);
    let begins = std::fs::metadata(&log).unwrap().len();
    assert_eq!(api(&log, begins, Duration::ZERO).await, None, "it has not said where it is");
    assert_eq!(api(&log, 0, Duration::ZERO).await, None, "nobody answers there");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (late, address) = (log.clone(), format!("127.0.0.1:{port}"));
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        write(&late, &address);
        serve(listener).await;
    });
    let found = api(&log, begins, Duration::from_secs(20)).await;
    assert_eq!(found, Some(format!("http://localhost:{port}")));
    std::fs::remove_file(&log).unwrap();
}
