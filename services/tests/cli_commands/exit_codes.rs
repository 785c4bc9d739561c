//! The promise of `--help`: 0 done, 1 refused or a check failed, 2 wrong usage, 3 a dependency cannot be reached.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use crate::world::World;

#[test]
fn help_and_version_are_answers_and_name_the_exit_codes() {
    let world = World::empty();
    let help = world.run(&["--help"]).ok();
    assert!(help.stdout.contains("3  Postgres, NATS or a secrets manager cannot be reached"), "{help:?}");
    assert!(world.run(&["--version"]).ok().stdout.starts_with("distribution "));
    assert!(world.run(&["completions", "bash"]).ok().stdout.contains("_distribution()"));
}

#[test]
fn wrong_usage_is_2() {
    let world = World::empty();
    for arguments in [
        &["no-such-command"][..],
        &["target"],
        &["target", "show", "not-an-id"],
        &["listing", "link", "--target", "0199f0f0-0000-7000-8000-000000000000"],
        &["dead-letters", "replay"],
        &["dead-letters", "discard"],
        &["dead-letters", "discard", "1", "--all", "--yes"],
        &["projections", "verify", "no_such_model"],
        // Alerts take figures of three minutes ago for a failure.
        &["serve", "--metrics-interval-s", "61"],
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
    let error = world.json(&["target", "show", "not-an-id"]).error();
    assert_eq!(error["field"], "target");
    assert!(error["message"].as_str().unwrap().ends_with("ids are UUIDs such as 0199f0f0-0000-7000-8000-000000000000"));
}

#[test]
fn a_usage_line_names_what_is_asked_for_and_no_settings() {
    let world = World::empty();
    let ran = world.run(&["dead-letters", "discard"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("Usage: distribution dead-letters discard <NUMBER"), "{ran:?}");
    for setting in ["--database-url", "--nats-url", "--nats-prefix", "--log-format"] {
        assert!(!ran.stderr.contains(setting), "{ran:?}");
    }
    let help = world.run(&["dead-letters", "discard", "--help"]).ok().stdout;
    let (before, connections) = help.split_once("\nConnections:\n").expect("they have a heading of their own");
    assert!(!before.contains("--database-url") && connections.contains("--database-url"), "{help}");
}

#[test]
fn a_schema_that_is_behind_is_refused_with_what_to_do() {
    let world = World::empty();
    let ran = world.run(&["target", "list"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("run `distribution migrate`"), "{ran:?}");
    assert_eq!(world.run(&["migrate", "--check"]).code, 1);
    let applied = world.json(&["migrate"]).ok().json();
    assert_eq!(applied["applied"][0], "0001 journal");
    assert_eq!(applied["pending"], serde_json::json!([]));
    assert_eq!(world.run(&["migrate", "--check"]).code, 0);
    assert_eq!(world.json(&["migrate"]).ok().json()["applied"], serde_json::json!([]));
}

#[test]
fn a_dependency_out_of_reach_is_3_and_says_why_once() {
    let world = World::new();
    let nowhere = world.run(&["--database-url", "postgres://nobody@127.0.0.1:9/x", "target", "list"]);
    assert_eq!(nowhere.code, 3, "{nowhere:?}");
    assert!(nowhere.stderr.starts_with("error: cannot reach Postgres"), "{nowhere:?}");
    assert_eq!(nowhere.stderr.matches("Connection refused").count(), 1, "{nowhere:?}");
    let gone = world.json(&["--database-url", &format!("{}x", world.database_url.replace("/test_", "/no_")), "queue"]);
    assert_eq!(gone.code, 3, "{gone:?}");
    assert!(gone.error_message().contains("does not exist"), "{gone:?}");
    let nats = world.json(&["--nats-url", "nats://127.0.0.1:9", "dead-letters", "list"]);
    assert_eq!(nats.code, 3, "{nats:?}");
    assert!(nats.error_message().starts_with("cannot reach NATS"), "{nats:?}");
}

/// Sessions that a world's database has had, once all of them have ended.
async fn sessions(world: &World) -> i64 {
    let mut elsewhere = PgConnection::connect(&std::env::var("DATABASE_URL").unwrap()).await.unwrap();
    let asked = "SELECT sessions, (SELECT count(*) FROM pg_stat_activity AS a WHERE a.datid = d.datid)
        FROM pg_stat_database AS d WHERE datname = $1";
    let began = Instant::now();
    loop {
        let (had, has): (i64, i64) = sqlx::query_as(asked).bind(&world.name).fetch_one(&mut elsewhere).await.unwrap();
        if has == 0 {
            return had;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{has} of {had} sessions go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Postgres starts a process for each. It was three; a run on a busy machine may still need them.
#[test]
fn a_run_has_one_connection_to_postgres() {
    const RUNS: i64 = 8;
    let world = World::new();
    let before = world.block_on(sessions(&world));
    for _ in 0..RUNS {
        world.run(&["target", "list"]).ok();
    }
    let opened = world.block_on(sessions(&world)) - before;
    assert!((RUNS..3 * RUNS).contains(&opened), "{opened} connections for {RUNS} runs");
}

/// Greets as NATS does and answers pings; whoever asks JetStream for something waits.
fn greets_and_says_no_more(mut client: TcpStream) -> std::io::Result<()> {
    client.write_all(b"INFO {\"version\":\"2.12.0\",\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n")?;
    for line in BufReader::new(client.try_clone()?).lines() {
        if line?.starts_with("PING") {
            client.write_all(b"PONG\r\n")?;
        }
    }
    Ok(())
}

#[test]
fn which_nats_is_away_is_said_within_seconds_and_without_its_password() {
    let world = World::empty();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    // They take the connection, and are silent.
    let silent = ["127.0.0.1:0", "127.0.0.1:0"].map(|address| TcpListener::bind(address).unwrap());
    let silent = silent.each_ref().map(port);
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging_port = port(&hanging);
    std::thread::spawn(move || {
        for client in hanging.incoming().flatten() {
            std::thread::spawn(move || greets_and_says_no_more(client));
        }
    });
    let two = format!("127.0.0.1:{}, 127.0.0.1:{}", silent[0], silent[1]);
    let two_urls = format!("nats://me:s3cret@127.0.0.1:{},nats://me:s3cret@127.0.0.1:{}", silent[0], silent[1]);
    let one = (format!("127.0.0.1:{hanging_port}"), format!("nats://me:s3cret@127.0.0.1:{hanging_port}"));
    for (places, urls) in [(two, two_urls), one] {
        for command in [&["dead-letters", "list"][..], &["dead-letters", "show", "1"], &["unit", "reread"]] {
            let began = Instant::now();
            let ran = world.json(&[&["--nats-url", &urls][..], command].concat());
            let took = began.elapsed();
            assert!(took < Duration::from_secs(6), "{command:?} took {took:?}: {ran:?}");
            assert_eq!(ran.code, 3, "{ran:?}");
            let said = ran.error_message();
            let begin =
                format!("cannot reach NATS at {places}: start it there, check NATS_URL, or run `distribution doctor`");
            assert!(said.starts_with(&begin) && said.ends_with(": no answer within 3 s"), "{said}");
            assert!(!ran.stderr.contains("s3cret"), "{ran:?}");
        }
    }
}

/// The client tries the servers in an order of its own, so it is asked until it had met the silent one first.
#[test]
fn a_server_of_a_cluster_that_is_silent_keeps_nobody_from_the_others() {
    let world = World::empty();
    world.block_on(async { world.nats().await.ensure_streams().await.unwrap() });
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let urls = format!("nats://127.0.0.1:{},{}", silent.local_addr().unwrap().port(), world.nats_url);
    let met = (0..40).any(|_| {
        let letters = world.json(&["--nats-url", &urls, "dead-letters", "list"]).ok().json();
        assert_eq!(letters, serde_json::json!([]));
        silent.accept().is_ok()
    });
    assert!(met, "it was never tried first");
}

/// A name may have more addresses than this one, whose turn comes while somebody still waits.
#[test]
fn a_silent_address_alone_does_not_have_all_the_time() {
    let world = World::empty();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let ran = world.json(&["--nats-url", &url, "dead-letters", "list"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let said = ran.error_message();
    assert!(said.starts_with("cannot reach NATS at 127.0.0.1:") && said.ends_with("timed out"), "{said}");
}

/// NATS behind a line that takes its time to be there.
fn behind_a_slow_line(mut client: TcpStream, nats: &str) -> std::io::Result<()> {
    std::thread::sleep(Duration::from_millis(700));
    let mut server = TcpStream::connect(nats)?;
    let (mut asked, mut asks) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut asks, &mut asked));
    std::io::copy(&mut server, &mut client)?;
    Ok(())
}

#[test]
fn a_slow_server_is_met_however_many_are_named() {
    let world = World::empty();
    world.block_on(async { world.nats().await.ensure_streams().await.unwrap() });
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://127.0.0.1:{}", slow.local_addr().unwrap().port());
    let address: async_nats::ServerAddr = world.nats_url.parse().unwrap();
    let nats = format!("{}:{}", address.host(), address.port());
    std::thread::spawn(move || {
        for client in slow.incoming().flatten() {
            let nats = nats.clone();
            std::thread::spawn(move || behind_a_slow_line(client, &nats));
        }
    });
    let urls = [url.as_str(); 5].join(",");
    let letters = world.json(&["--nats-url", &urls, "dead-letters", "list"]).ok().json();
    assert_eq!(letters, serde_json::json!([]));
}

#[test]
fn an_address_that_is_none_is_2_and_names_the_variable_and_not_the_password() {
    let world = World::empty();
    for (flag, address, field, begin) in [
        ("--database-url", "localhost/distribution", "database_url", "DATABASE_URL is no address of Postgres: "),
        (
            "--database-url",
            "mysql://root:s3cret@localhost/x",
            "database_url",
            "DATABASE_URL is no address of Postgres: ",
        ),
        (
            "--database-url",
            "postgres://me:s3cret@host:port/x",
            "database_url",
            "DATABASE_URL is no address of Postgres: ",
        ),
        ("--nats-url", "http://me:s3cret@localhost:4222", "nats_url", "NATS_URL is no address of NATS: "),
        ("--nats-url", "", "nats_url", "NATS_URL is no address of NATS: "),
    ] {
        let command: &[&str] = if field == "nats_url" { &["dead-letters", "list"] } else { &["target", "list"] };
        let ran = world.json(&[&[flag, address][..], command].concat());
        assert_eq!((ran.code, ran.error()["field"].as_str()), (2, Some(field)), "{ran:?}");
        assert!(ran.error_message().starts_with(begin) && !ran.stderr.contains("s3cret"), "{ran:?}");
        let checked = world.json(&[flag, address, "doctor"]).json();
        let checks = checked["checks"].as_array().unwrap();
        let found = checks
            .iter()
            .find(|check| check["status"] == "fail" && check["detail"].as_str().unwrap().starts_with(begin));
        assert!(found.is_some_and(|check| check["advice"].as_str().unwrap().starts_with("set ")), "{checked}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let world = World::empty();
    let mut child =
        world.command().args(["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 1];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn doctor_names_what_fails_and_what_to_do() {
    let world = World::empty();
    let ran = world.json(&["doctor"]);
    assert_eq!(ran.code, 1);
    let report = ran.json();
    assert_eq!(report["ok"], false);
    let of = |name: &str| report["checks"].as_array().unwrap().iter().find(|check| check["check"] == name).unwrap();
    assert_eq!(of("postgres")["status"], "ok");
    assert_eq!(of("schema")["status"], "fail");
    assert_eq!(of("schema")["advice"], "run `distribution migrate`");
    assert_eq!(of("streams")["status"], "fail");
    assert!(of("streams")["detail"].as_str().unwrap().contains("-UNITS is missing; "), "{report}");
    assert!(of("streams")["advice"].as_str().unwrap().contains("`distribution serve`"), "{report}");
    let ran = world.run(&["--database-url", "postgres://nobody@127.0.0.1:9/x", "doctor"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.starts_with("FAIL  postgres"), "{ran:?}");
    assert!(ran.stdout.contains("ok    nats"), "{ran:?}");
}

#[test]
fn doctor_says_how_far_it_came_where_nothing_answers() {
    let world = World::empty();
    let nowhere = ["--database-url", "postgres://me:s3cret@127.0.0.1:9/x", "--nats-url", "nats://127.0.0.1:9"];
    let checks = |addresses: &[&str]| {
        let ran = world.json(&[addresses, &["doctor"]].concat());
        assert!(ran.code == 1 && !ran.stdout.contains("s3cret"), "{ran:?}");
        ran.json()["checks"].clone()
    };
    let away = checks(&nowhere);
    let postgres = away[0]["detail"].as_str().unwrap();
    assert!(postgres.starts_with("database x on 127.0.0.1, port 9, as me: ") && postgres.contains("refused"), "{away}");
    assert!(away[0]["advice"].as_str().unwrap().starts_with("start Postgres, or "), "{away}");
    let nats = away[1]["detail"].as_str().unwrap();
    assert!(nats.starts_with("127.0.0.1, port 9: ") && !nats.contains("doctor"), "{away}");
    let missing = checks(&["--database-url", &world.database_url.replace("/test_", "/no_")]);
    assert!(missing[0]["advice"].as_str().unwrap().starts_with("make the database"), "{missing}");
}
