//! Browsers, as far as the service sees them: a session, and streams that are read to their end.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;

use crate::ours::Service;
use crate::process::Patience;
use crate::tools;
use crate::units::ORG;
use crate::world::World;

/// A browser that is signed in.
#[derive(Debug, Clone)]
pub(super) struct Session {
    base: String,
    cookie: String,
    client: reqwest::Client,
}

/// All but health: the seeded targets lead nowhere, and nobody is to check them.
const ROLES: &str = "intake,relay,projector,dispatcher,api";

/// Pages that one person may have open that are live.
const OF_A_PERSON: usize = 20;

/// Starts a service with an address that is known, and signs in with a one-time link.
pub(super) async fn serve(world: &World, name: &str) -> anyhow::Result<(Service, Session)> {
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let service = Service::start_with(
        world,
        name,
        &["--listen", &address.to_string(), "--api-rate", "100000", "--roles", ROLES],
    )?;
    let listens = async || Ok(tokio::net::TcpStream::connect(address).await.is_ok());
    service.process.until(Patience::ROWS, "listening", listens).await?;
    let session = sign_in(world, &format!("http://{address}"), "bench").await?;
    Ok((service, session))
}

async fn sign_in(world: &World, base: &str, subject: &str) -> anyhow::Result<Session> {
    let mut command = Command::new(tools::program("distribution")?);
    command.args(["sign-in", "--org", ORG, "--role", "owner", "--subject", subject, "--url", base]);
    command.envs(world.environment()?);
    let output = command.output()?;
    ensure!(output.status.success(), "no link: {}", String::from_utf8_lossy(&output.stderr));
    let link = String::from_utf8(output.stdout)?;
    let (_, form) = link.trim().split_once('?').context("a link has a code")?;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let request = client.post(format!("{base}/sign-in")).header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(form.to_owned()).send().await?;
    let cookie = answer.headers().get("set-cookie").context("a sign-in sets a cookie")?.to_str()?;
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    Ok(Session { base: base.to_owned(), cookie, client })
}

impl Session {
    /// A page.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<String> {
        Ok(self.open(path).await?.text().await?)
    }

    async fn open(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let request = self.client.get(format!("{}{path}", self.base)).header("cookie", &self.cookie);
        Ok(request.send().await?.error_for_status()?)
    }
}

/// Open pages.
#[derive(Debug)]
pub(super) struct Viewers {
    reading: JoinSet<()>,
    parts: Arc<AtomicU64>,
}

impl Viewers {
    /// Opens the overview so many times, by as many people as that takes.
    pub(super) async fn open(world: &World, session: &Session, count: usize) -> anyhow::Result<Self> {
        let (mut reading, parts) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
        let mut person = session.clone();
        for number in 0..count {
            if number % OF_A_PERSON == 0 {
                person = sign_in(world, &session.base, &format!("viewer-{number}")).await?;
            }
            let mut stream = person.open("/live?topic=overview").await?;
            let parts = parts.clone();
            reading.spawn(async move {
                while let Ok(Some(bytes)) = stream.chunk().await {
                    let begun = bytes.windows(11).filter(|at| at == b"event: part").count();
                    parts.fetch_add(u64::try_from(begun).unwrap_or_default(), Ordering::Relaxed);
                }
            });
        }
        Ok(Self { reading, parts })
    }

    /// Closes them; gives the parts that all of them got.
    pub(super) fn close(mut self) -> u64 {
        self.reading.abort_all();
        self.parts.load(Ordering::Relaxed)
    }
}
