//! A NATS that is there without its JetStream: what the doctor calls it, and what a publisher is told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::world::{Ran, World, unit};

/// What comes of a question to JetStream.
#[derive(Clone, Copy)]
enum Asked {
    /// Nobody listens there.
    NoResponders,
    /// As every server of a cluster answers that has been without a leader for a while.
    NoLeader,
    /// The same in the first seconds, and of one that hangs.
    Silence,
}

const NO_LEADER: &str =
    r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#;

/// Greets as NATS does, with this in its greeting, answers pings, and answers whoever asks it for something so.
fn greets(mut client: TcpStream, greeting: &str, asked: Asked) -> std::io::Result<()> {
    let more = if greeting.is_empty() { String::new() } else { format!(",{greeting}") };
    client.write_all(
        format!("INFO {{\"version\":\"2.12.0\",\"proto\":1,\"headers\":true,\"max_payload\":1048576{more}}}\r\n")
            .as_bytes(),
    )?;
    // By the inbox before its last part.
    let mut subscriptions = HashMap::new();
    for line in BufReader::new(client.try_clone()?).lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PING", ..] => client.write_all(b"PONG\r\n")?,
            ["SUB", subject, .., id] => {
                subscriptions.insert(subject.trim_end_matches('*').to_owned(), (*id).to_owned());
            }
            ["PUB" | "HPUB", _, inbox, _, ..] => {
                let Some(id) = subscriptions.iter().find(|(of, _)| inbox.starts_with(of.as_str())).map(|(_, id)| id)
                else {
                    continue;
                };
                match asked {
                    Asked::NoResponders => {
                        client.write_all(format!("HMSG {inbox} {id} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n").as_bytes())?;
                    }
                    Asked::NoLeader => {
                        let length = NO_LEADER.len();
                        client.write_all(format!("MSG {inbox} {id} {length}\r\n{NO_LEADER}\r\n").as_bytes())?;
                    }
                    Asked::Silence => {}
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where such a server is.
fn server(greeting: &'static str, asked: Asked) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://127.0.0.1:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || greets(client, greeting, asked));
        }
    });
    url
}

#[test]
fn the_doctor_tells_a_cluster_without_a_leader_from_a_jetstream_that_is_off_and_from_no_answer() {
    let world = World::new();
    let clustered = r#""jetstream":true,"cluster":"three""#;
    let cases = [
        ("", Asked::NoResponders, "off: ", "nats-server -js"),
        (r#""jetstream":true"#, Asked::NoResponders, "off for this account, or not allowed: ", "account of NATS_URL"),
        (clustered, Asked::NoLeader, "its cluster has no leader now: ", "start the NATS servers that are away"),
        (clustered, Asked::Silence, "its cluster has no leader now, or it does not answer: ", "the server hangs"),
        (r#""jetstream":true"#, Asked::Silence, "it does not answer: ", "restart it if it hangs"),
        (r#""jetstream":true"#, Asked::NoLeader, "it does not answer: ", "restart it if it hangs"),
    ];
    // At the same time, as some of them wait for an answer that does not come.
    let asked = cases.map(|(greeting, asked, begin, advice)| {
        let url = server(greeting, asked);
        let mut command = world.command();
        command.args(["--output", "json", "--nats-url", &url, "doctor"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        (command.spawn().unwrap(), begin, advice)
    });
    for (child, begin, advice) in asked {
        let report = Ran::from(child.wait_with_output().unwrap()).json();
        let found = report["checks"].as_array().unwrap().iter().find(|found| found["check"] == "jetstream");
        let found = found.unwrap_or_else(|| panic!("{begin}: {report}"));
        assert_eq!(found["status"], "fail", "{found}");
        let words = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        assert!(words("detail").starts_with(begin) && words("advice").contains(advice), "{begin} {advice}: {found}");
        let offers_to_switch_it_on = words("advice").contains("nats-server -js");
        assert_eq!(offers_to_switch_it_on, begin == "off: ", "{found}");
    }
}

#[test]
fn who_publishes_to_a_cluster_without_a_leader_tries_for_a_while_and_is_told_that_nothing_was_published() {
    let world = World::empty();
    let file = world.secrets.path().join("changes.ndjson");
    std::fs::write(&file, unit("villa-1", 1).to_string()).unwrap();
    let publish = |url: &str| {
        let began = Instant::now();
        let ran = world.json(&["--nats-url", url, "unit", "publish", file.to_str().unwrap()]);
        (ran, began.elapsed())
    };
    let (ran, took) = publish(&server(r#""jetstream":true,"cluster":"three""#, Asked::NoLeader));
    assert_eq!(ran.code, 3, "{ran:?}");
    let said = ran.error_message();
    assert!(said.starts_with("nothing was published: ") && said.contains("temporarily unavailable"), "{said}");
    assert!((Duration::from_secs(10)..Duration::from_secs(20)).contains(&took), "{took:?}");
    let (ran, took) = publish(&server("", Asked::NoResponders));
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.error_message().starts_with("nothing was published: this NATS server has no JetStream"), "{ran:?}");
    assert!(took < Duration::from_secs(9), "a server without JetStream has none in a moment either: {took:?}");
}
