//! The binary as its own process: port file, first line, graceful stop, refused arguments.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const BINARY: &str = env!("CARGO_BIN_EXE_hostaway-sandbox");

#[tokio::test]
async fn the_process_says_where_it_listens_and_stops_on_sigterm_even_with_a_hanging_call() {
    let folder = tempfile::tempdir().unwrap();
    let port_file = folder.path().join("port");
    let mut process = Command::new(BINARY)
        .args(["--account", "1001:s3cret", "--limits", "12/10", "--token-delay-ms", "0", "--port-file"])
        .arg(&port_file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = std::fs::read_to_string(&port_file).unwrap();
    assert_eq!(line, format!("listening on http://{address}\n"));

    let http = reqwest::Client::new();
    let limits = http.get(format!("http://{address}/_sandbox/limits")).send().await.unwrap().text().await.unwrap();
    assert_eq!(limits, r#"{"account":{"limit":12,"window_ms":10000},"ip":null,"accounts":{}}"#);
    let hang = http
        .post(format!("http://{address}/_sandbox/faults"))
        .json(&serde_json::json!({ "kind": "hang", "seconds": 60 }));
    assert!(hang.send().await.unwrap().status().is_success());
    let hanging = tokio::spawn(http.get(format!("http://{address}/v1/listings")).send());
    tokio::time::sleep(Duration::from_millis(200)).await;

    let start = Instant::now();
    assert!(Command::new("kill").arg(process.id().to_string()).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(move || process.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "{ended}");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(hanging.await.unwrap().is_err());
}

#[test]
fn bad_arguments_are_refused_with_their_name() {
    for (name, value) in [
        ("--account", "1001"),
        ("--account", "x:y"),
        ("--limits", "0/10"),
        ("--ip-limits", "many"),
        ("--listen", "here"),
    ] {
        let out = Command::new(BINARY).args([name, value]).output().unwrap();
        assert!(!out.status.success());
        assert!(String::from_utf8_lossy(&out.stderr).contains(name), "{name} {value}");
    }
}
