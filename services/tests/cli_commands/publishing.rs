//! `unit publish`: what reaches the stream, and what is said of the lines that do not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adapters::nats::topology::StreamKind;
use async_nats::jetstream::message::StreamMessage;
use serde_json::json;

use crate::world::{Ran, World, unit};

fn publish(world: &World, lines: &[String], more: &[&str]) -> Ran {
    let mut child = world
        .command()
        .args(["--output", "json", "unit", "publish", "-"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

/// Everything on the stream of unit changes.
fn stored(world: &World) -> Vec<StreamMessage> {
    world.block_on(async {
        let stream = world.nats().await.stream(StreamKind::Units).await.unwrap();
        let mut messages = Vec::new();
        for sequence in 1..=stream.cached_info().state.last_sequence {
            messages.push(stream.get_raw_message(sequence).await.unwrap());
        }
        messages
    })
}

fn broken(name: &str) -> String {
    let mut body = unit(name, 1);
    body["unit"]["time_zone"] = "Mars/Olympus".into();
    body.to_string()
}

#[test]
fn a_message_carries_cloud_events_headers_and_may_be_published_twice() {
    let world = World::empty();
    let line = unit("villa-1", 3).to_string();
    let report = publish(&world, &[line.clone(), String::new(), line], &[]).ok().json();
    assert_eq!(report, json!({ "published": 2, "units": 1, "bad_lines": 0, "bad": [] }));
    let messages = stored(&world);
    assert_eq!(messages.len(), 2, "a second publication of the same change is meant");
    let message = &messages[0];
    assert_eq!(message.subject.as_str(), format!("{}.supply.unit.changed.v1.sunstay.villa-1", world.prefix));
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned()).unwrap();
    assert_eq!(header("ce-specversion"), "1.0");
    assert_eq!(header("ce-type"), "supply.unit.changed.v1");
    assert_eq!(header("ce-source"), "distribution-cli");
    assert_eq!(header("content-type"), "application/json");
    assert!(header("ce-id").parse::<uuid::Uuid>().is_ok());
    assert!(chrono::DateTime::parse_from_rfc3339(&header("ce-time")).is_ok());
    let trace = header("traceparent");
    let lengths: Vec<usize> = trace.split('-').map(str::len).collect();
    assert_eq!(lengths, [2, 32, 16, 2], "{trace}");
    assert!(trace.ends_with("-00"), "nobody receives it: {trace}");
    let other = messages[1].headers.get("traceparent").map(|value| value.as_str().to_owned()).unwrap();
    assert_ne!(trace[3..35], other[3..35], "a trace for each change");
}

/// Publishes one change and takes the stream away, so that the next one has nobody who takes it, as while a cluster elects a leader.
fn published_behind_a_stream_that_goes(world: &World) -> (Child, ChildStdin) {
    let mut child = world
        .command()
        .args(["--output", "json", "unit", "publish", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", unit("villa-1", 1)).unwrap();
    world.block_on(async {
        let nats = world.nats().await;
        let is_stored = async || match nats.stream(StreamKind::Units).await {
            Ok(stream) => stream.cached_info().state.messages == 1,
            Err(_) => false,
        };
        let began = Instant::now();
        while !is_stored().await {
            assert!(began.elapsed() < Duration::from_secs(20), "the first one is not stored");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let name = nats.stream_config(StreamKind::Units).unwrap().name;
        nats.jetstream.delete_stream(name).await.unwrap();
    });
    writeln!(stdin, "{}", unit("villa-2", 1)).unwrap();
    (child, stdin)
}

#[test]
fn what_nobody_takes_for_a_moment_is_sent_again() {
    let world = World::empty();
    let (child, stdin) = published_behind_a_stream_that_goes(&world);
    drop(stdin);
    std::thread::sleep(Duration::from_secs(2));
    world.block_on(async { world.nats().await.ensure_stream(StreamKind::Units).await.map(drop).unwrap() });
    let report = Ran::from(child.wait_with_output().unwrap()).ok().json();
    assert_eq!(report, json!({ "published": 2, "units": 2, "bad_lines": 0, "bad": [] }));
    let messages = stored(&world);
    assert_eq!(messages.len(), 1, "the stream of the first one is gone");
    let header = |name: &str| messages[0].headers.get(name).map(|value| value.as_str().to_owned());
    assert!(header("Nats-Msg-Id").is_some() && header("Nats-Msg-Id") == header("ce-id"), "{:?}", messages[0].headers);
}

#[test]
fn what_nobody_takes_for_a_moment_is_sent_again_while_further_lines_come() {
    let world = World::empty();
    let (child, mut stdin) = published_behind_a_stream_that_goes(&world);
    // More often than it is sent again.
    let mut a_further_line_comes = async || {
        writeln!(stdin, "{}", unit("villa-3", 1)).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    world.block_on(async {
        for _ in 0..10 {
            a_further_line_comes().await;
        }
        let stream = world.nats().await.ensure_stream(StreamKind::Units).await.unwrap();
        let subject = format!("{}.supply.unit.changed.v1.sunstay.villa-2", world.prefix);
        let began = Instant::now();
        while stream.get_last_raw_message_by_subject(&subject).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(5), "it is not sent again");
            a_further_line_comes().await;
        }
    });
    drop(stdin);
    Ran::from(child.wait_with_output().unwrap()).ok();
}

/// A way to NATS on which the first acknowledgement of a message gets lost, and whether one has.
fn without_an_acknowledgement(nats_url: &str) -> (String, Arc<AtomicBool>) {
    let server = nats_url.rsplit(['/', '@']).next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = nats_url.replace(&server, &listener.local_addr().unwrap().to_string());
    let lost = Arc::new(AtomicBool::new(false));
    let is_lost = Arc::clone(&lost);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&server).unwrap();
            let (mut asked, mut asks) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut asked, &mut asks));
            let is_lost = Arc::clone(&is_lost);
            std::thread::spawn(move || pass_on(server, client, &is_lost));
        }
    });
    (url, lost)
}

/// What a server says, but for the first acknowledgement.
fn pass_on(server: TcpStream, mut client: TcpStream, is_lost: &AtomicBool) -> std::io::Result<()> {
    let mut server = BufReader::new(server);
    let mut line = String::new();
    while server.read_line(&mut line)? > 0 {
        let mut body = Vec::new();
        if line.starts_with("MSG ") || line.starts_with("HMSG ") {
            let length: usize = line.split_whitespace().next_back().unwrap().parse().unwrap();
            body.resize(length + "\r\n".len(), 0);
            server.read_exact(&mut body)?;
        }
        let is_acknowledgement = body.starts_with(br#"{"stream":"#);
        if !is_acknowledgement || is_lost.swap(true, Ordering::Relaxed) {
            client.write_all(line.as_bytes())?;
            client.write_all(&body)?;
        }
        line.clear();
    }
    Ok(())
}

#[test]
fn what_is_stored_and_not_acknowledged_is_sent_again_and_stored_once() {
    let world = World::empty();
    let file = world.secrets.path().join("changes.ndjson");
    std::fs::write(&file, unit("villa-1", 1).to_string()).unwrap();
    let (url, is_lost) = without_an_acknowledgement(&world.nats_url);
    let report = world.json(&["--nats-url", &url, "unit", "publish", file.to_str().unwrap()]).ok().json();
    assert!(is_lost.load(Ordering::Relaxed), "nothing was lost");
    assert_eq!(report, json!({ "published": 1, "units": 1, "bad_lines": 0, "bad": [] }));
    assert_eq!(stored(&world).len(), 1);
}

#[test]
fn what_nobody_takes_is_said_not_to_be_stored() {
    let world = World::empty();
    let (child, stdin) = published_behind_a_stream_that_goes(&world);
    drop(stdin);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 3, "{ran:?}");
    let said = ran.error_message();
    let begin = "NATS did not acknowledge a message: it is not stored; 1 message before it is stored.";
    assert!(said.starts_with(begin) && said.contains("no stream found"), "{said}");
}

#[test]
fn a_bad_line_is_named_and_not_sent_and_the_others_are() {
    let world = World::empty();
    let lines = [unit("villa-1", 1).to_string(), broken("villa-2"), "{oops".to_owned(), unit("villa-3", 1).to_string()];
    let ran = publish(&world, &lines, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let report = ran.json();
    assert_eq!((report["published"].as_u64(), report["bad_lines"].as_u64()), (Some(2), Some(2)));
    assert_eq!((report["bad"][0]["line"].as_u64(), report["bad"][0]["sent"].as_bool()), (Some(2), Some(false)));
    assert_eq!(report["bad"][0]["problems"][0]["field"], "unit.time_zone");
    assert!(report["bad"][0]["problems"][0]["reason"].as_str().unwrap().contains("no IANA time zone"));
    assert_eq!(
        (report["bad"][1]["line"].as_u64(), &report["bad"][1]["problems"][0]["field"]),
        (Some(3), &json!("body"))
    );
    assert_eq!(stored(&world).len(), 2);
}

#[test]
fn unchecked_lines_are_sent_so_far_as_they_have_an_address() {
    let world = World::empty();
    let ran = publish(&world, &[broken("villa-2"), "{oops".to_owned()], &["--unchecked"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let report = ran.json();
    assert_eq!(report["published"], 1);
    assert_eq!((&report["bad"][0]["sent"], &report["bad"][1]["sent"]), (&json!(true), &json!(false)));
    assert_eq!(stored(&world).len(), 1);
}

#[test]
fn people_read_the_line_the_field_and_the_reason() {
    let world = World::empty();
    let file = world.secrets.path().join("changes.ndjson");
    std::fs::write(&file, broken("villa-2")).unwrap();
    let ran = world.run(&["unit", "publish", file.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.starts_with("line 1: unit.time_zone: "), "{ran:?}");
    assert!(ran.stdout.contains("1 line cannot be used"), "{ran:?}");
    let missing = world.run(&["unit", "publish", "/no/such/file.ndjson"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("/no/such/file.ndjson"), "{missing:?}");
}

#[test]
fn a_wait_that_ends_in_vain_names_what_is_missing() {
    let world = World::new();
    let ran = publish(&world, &[unit("villa-1", 4).to_string()], &["--wait", "1"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let wanted = json!([{ "org_id": "sunstay", "unit_id": "villa-1", "wanted": 4, "have": null }]);
    assert_eq!(ran.json()["not_taken"], wanted);
}
