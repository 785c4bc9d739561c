//! What a hostile or broken neighbour does to the API: connections that say nothing, and requests that make no sense.

use std::net::SocketAddr;
use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::process::{Process, binary};
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

/// Connections that send half of a request's head, or nothing.
const HALF_OPEN: usize = 10_000;
/// Files that the service may have open where that is few.
const FEW_FILES: usize = 300;
/// Connections that ask for much and read nothing.
const UNREAD: usize = 20;
/// Files that the test itself needs beside them.
const OWN_FILES: usize = 1_000;
/// Requests that make no sense: each method of each path some 800 times.
const GARBAGE: u64 = 50_000;

/// As many as this machine lets a process have; ten thousand where it can.
fn half_open() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let open = open.and_then(|numbers| numbers.split_whitespace().next()?.parse::<usize>().ok());
    open.map_or(HALF_OPEN, |open| open.saturating_sub(OWN_FILES).clamp(1, HALF_OPEN))
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_ten_thousand_half_open_connections_stop_no_request() -> anyhow::Result<()> {
    let world = World::new(&[8160]).await?;
    world.target(8160, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let address = api.base().trim_start_matches("http://").to_owned();
    let wanted = half_open();
    if wanted < HALF_OPEN {
        eprintln!("{wanted} connections instead of {HALF_OPEN}: `ulimit -n` lets this process open no more");
    }
    let held = half_open_connections(&address, wanted).await?;
    assert_eq!(held.len(), wanted);
    for _ in 0..20 {
        let asked = tokio::time::timeout(Duration::from_secs(5), api.get("/api/channels/targets")).await;
        asked??.expect(200)?;
    }
    drop((held, service));
    world.close().await
}

/// Connections that say half of a request's head, or nothing.
async fn half_open_connections(address: &str, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let open = stream::iter(0..count).map(|number| async move {
        let mut connection = TcpStream::connect(address).await?;
        if number % 2 == 0 {
            connection.write_all(b"GET /api/channels/targets HTTP/1.1\r\nhost: x\r\nx-slow").await?;
        }
        anyhow::Ok(connection)
    });
    open.buffer_unordered(200).try_collect().await
}

/// Most hosts let a process have few files open until it asks for more, and some no more than few.
#[tokio::test(flavor = "multi_thread")]
async fn more_half_open_connections_than_files_may_be_open_stop_no_request() -> anyhow::Result<()> {
    let world = World::new(&[8164]).await?;
    let few = |what: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("ulimit -Sn 200; ulimit -Hn {FEW_FILES}; exec \"$0\" {what}")]);
        command.arg(binary("distribution")?).envs(world.environment()?);
        anyhow::Ok(command)
    };
    let service = Process::spawn(few("serve --roles api")?, &world.path("few-files.log"))?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.id()))?;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    let soft = files.split_whitespace().nth(3).unwrap_or_default();
    assert_eq!(soft, FEW_FILES.to_string(), "{limits}");
    let address = api.base().trim_start_matches("http://").to_owned();
    let held = half_open_connections(&address, 2 * FEW_FILES).await?;
    for _ in 0..20 {
        let asked = tokio::time::timeout(Duration::from_secs(5), api.get("/api/channels/targets")).await;
        asked??.expect(200)?;
    }
    let printed = service.printed();
    assert!(!printed.contains("failed to accept a connection"), "{printed}");
    assert!(printed.contains("leaves room for few connections to the API"), "{printed}");
    drop((held, service));

    let told = String::from_utf8(few("doctor")?.output()?.stdout)?;
    assert!(told.contains("warn  open files") && told.contains(&format!("{FEW_FILES} may be open")), "{told}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_whoever_reads_nothing_of_an_answer_loses_the_connection() -> anyhow::Result<()> {
    let world = World::new(&[8163]).await?;
    let service = world.serve_with("api", &["--api-rate", "100000"])?;
    let api = Api::of(&service).await?;
    let address: SocketAddr = api.base().trim_start_matches("http://").parse()?;
    api.get("/health/ready").await?.expect(200)?;
    let files = || anyhow::Ok(std::fs::read_dir(format!("/proc/{}/fd", service.id()))?.count());
    let before = files()?;
    // Much more than the buffers of both ends can hold.
    let requests = "GET /api/docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n".repeat(40);
    let mut held = Vec::new();
    for _ in 0..UNREAD {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4_096)?;
        let mut connection = socket.connect(address).await?;
        connection.write_all(requests.as_bytes()).await?;
        held.push(connection);
    }
    // Longer than a connection may rest between two requests: these do not rest.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let open = files()?;
    assert!(open > before + UNREAD / 2, "{open} files are open, {before} were before {UNREAD} connections");
    wait_until("they are closed", Duration::from_secs(60), || async {
        let open = files()?;
        Ok(if open < before + UNREAD / 2 { Ok(()) } else { Err(format!("{open} files are open, {before} were")) })
    })
    .await?;
    drop((held, service));
    world.close().await
}

/// Numbers that are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap_or(1)).unwrap_or_default()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

const PATHS: [&str; 12] = [
    "/api/channels/targets",
    "/api/channels/targets/0",
    "/api/channels/targets/%00",
    "/api/channels/listings",
    "/api/channels/listings/00000000-0000-0000-0000-000000000000/retry",
    "/api/channels/audit",
    "/api/channels/queue",
    "/api/channels/dead-letters/18446744073709551615",
    "/api/channels/../..",
    "/api/channels/audit/export",
    "//",
    "/sign-in",
];
const QUERIES: [&str; 10] = [
    "",
    "?limit=-1",
    "?cursor=%F0%28",
    "?limit=99999999999999999999",
    "?since=yesterday",
    "?min_position=0",
    "?format=xml",
    "?target_id='; DROP TABLE events; --",
    "?unit_id=%00",
    "?cursor=e30",
];
const BODIES: [&str; 10] = [
    "",
    "{",
    "null",
    "[]",
    "{\"name\": 1}",
    "{\"reason\": \"\\u0000\"}",
    "{\"a\":{\"a\":{\"a\":{\"a\":1}}}}",
    "\u{feff}{}",
    "1e999",
    "{\"account_id\":\"a\",\"name\":\"\",\"base_url\":\"x\",\"channel_account\":\"\",\"secret\":\"\"}",
];
const KINDS: [&str; 4] = ["application/json", "text/plain", "application/json; charset=latin1", "multipart/form-data"];

#[tokio::test(flavor = "multi_thread")]
async fn heavy_requests_that_make_no_sense_are_refused_and_write_nothing() -> anyhow::Result<()> {
    let world = World::new(&[8161]).await?;
    world.target(8161, RateLimit::default()).await?;
    let service = world.serve_with("api", &["--api-rate", "100000"])?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    // Everything that a request could write.
    let written =
        "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM api_answers) + (SELECT count(*) FROM sessions)
        + (SELECT count(*) FROM dead_letter_decisions) + (SELECT count(*) FROM units)";
    let before = world.count(written).await?;
    let asked = stream::iter(1..=GARBAGE).map(|seed| {
        let api = api.clone();
        async move {
            let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
            let method = [Method::GET, Method::POST, Method::PATCH, Method::DELETE, Method::PUT][dice.roll(5)].clone();
            let path = format!("{}{}", dice.pick(&PATHS), dice.pick(&QUERIES));
            let headers = [
                ("content-type", dice.pick(&KINDS)),
                ("if-match", dice.pick(&["\"1\"", "W/\"1\"", "x", "*"])),
                ("traceparent", dice.pick(&["00-x", "", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])),
            ];
            let body = dice.pick(&BODIES).to_owned();
            let answer = api.send_text(method.clone(), &path, &headers, body.clone()).await?;
            anyhow::ensure!(
                answer.status.as_u16() < 500,
                "{method} {path} {body:?}: {} {}",
                answer.status,
                answer.text
            );
            Ok(())
        }
    });
    asked.buffer_unordered(32).try_collect::<Vec<()>>().await?;
    assert_eq!(world.count(written).await?, before);
    assert!(!service.printed().contains("panicked"));
    drop(service);
    world.close().await
}
