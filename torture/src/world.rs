//! The world of a run: servers, sandbox, fleet, targets. Nothing of it is left when it is dropped.

use std::path::{Path, PathBuf};
use std::sync::Mutex as Plain;
use std::sync::PoisonError;
use std::time::Duration;

use adapters::nats::topology::StreamKind;
use adapters::nats::{Nats, Prefix};
use anyhow::{Context as _, ensure};
use end_to_end::api::Api;
use end_to_end::sandbox::Sandbox;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::caller::Caller;
use crate::clock::now_us;
use crate::fleet::{Ends, Fleet};
use crate::plan::{ACCOUNT_LIMIT, EGRESS_LIMIT, ORGS, PLACES, TARGET_LIMIT, WINDOW_MS};
use crate::published::{Published, Wipe};
use crate::servers::{NatsServer, PostgresServer, Tools};
use crate::who::Who;

const PREFIX: &str = "torture";
/// The account of every organisation here, as the units name it.
pub const ACCOUNT_ID: &str = "main";
/// NATS is about to be wiped, and is not waited for.
const TO_TELL: Duration = Duration::from_secs(2);

/// A time in which somebody, or with `None` everybody, was stopped, or without Postgres or the channel.
#[derive(Debug, Clone, Copy)]
pub struct Disturbance {
    /// Whose it was.
    pub who: Option<Who>,
    /// In microseconds since the epoch.
    pub began_us: u64,
    /// The same.
    pub ended_us: u64,
}

/// A time in which calls to the channel could fail.
#[derive(Debug, Clone, Copy)]
pub struct CallFault {
    /// In microseconds since the epoch.
    pub began_us: u64,
    /// The same.
    pub ended_us: u64,
}

/// Everything that a run needs.
pub struct World {
    /// Processes of the service; dropped first.
    pub fleet: Fleet,
    /// The channel.
    pub sandbox: Sandbox,
    /// The servers.
    pub postgres: Mutex<PostgresServer>,
    /// The servers.
    pub nats: Mutex<NatsServer>,
    /// Past every proxy.
    pub pool: PgPool,
    /// Past every proxy.
    pub nats_url: String,
    /// Past every proxy, and there before it is needed.
    transport: Nats,
    /// The ids of `PLACES`.
    pub targets: Vec<uuid::Uuid>,
    /// The callers of the API, one for each of `ORGS`.
    pub callers: Vec<Caller>,
    wipes: Plain<Vec<Wipe>>,
    disturbances: Plain<Vec<Disturbance>>,
    call_faults: Plain<Vec<CallFault>>,
    /// Of the service.
    program: PathBuf,
    environment: Vec<(String, String)>,
    folder: PathBuf,
}

impl World {
    /// Makes one of this program of the service, whose files are in `folder`.
    pub async fn start(tools: &Tools, program: &Path, folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder.join("secrets"))?;
        let accounts: std::collections::BTreeSet<u64> = PLACES.iter().map(|place| place.account).collect();
        let accounts: Vec<u64> = accounts.into_iter().collect();
        let (postgres, nats, sandbox) = tokio::try_join!(
            PostgresServer::start(tools, folder),
            NatsServer::start(tools, folder),
            Sandbox::start_with(folder, &accounts, &["--keep-bodies"]),
        )?;
        let environment = environment(folder);
        let direct = [("DATABASE_URL".to_owned(), postgres.url()), ("NATS_URL".to_owned(), nats.url())];
        let (pool, nats_url) = (postgres.pool(), nats.url());
        let transport = Nats::connect(&nats_url, prefix()?, "torture").await?;
        let ends = Ends {
            postgres: postgres.socket(),
            nats: nats.port(),
            channel: sandbox.url.rsplit(':').next().context("the sandbox has a port")?.parse()?,
        };
        let direct: Vec<(String, String)> = environment.iter().cloned().chain(direct).collect();
        run(program, &direct, &["migrate"])?;
        let fleet = Fleet::start(&ends, program, &environment, folder).await?;
        let callers: anyhow::Result<Vec<Caller>> =
            ORGS.iter().map(|org| caller(program, &direct, &fleet, org)).collect();
        let mut world = Self {
            fleet,
            sandbox,
            postgres: Mutex::new(postgres),
            nats: Mutex::new(nats),
            pool,
            nats_url,
            transport,
            targets: Vec::new(),
            callers: callers?,
            wipes: Plain::default(),
            disturbances: Plain::default(),
            call_faults: Plain::default(),
            program: program.to_owned(),
            environment: direct,
            folder: folder.to_owned(),
        };
        world.make_targets().await?;
        Ok(world)
    }

    async fn make_targets(&mut self) -> anyhow::Result<()> {
        let window_s = WINDOW_MS / 1_000;
        for (index, place) in PLACES.iter().enumerate() {
            let org = ORGS[place.org];
            let mut body = json!({
                "account_id": ACCOUNT_ID,
                "name": format!("{org} {index}"),
                "base_url": format!("{}/v1", self.sandbox.url),
                "channel_account": place.account.to_string(),
                "secret": format!("secret-{}", place.account),
                "rate_limit": format!("{TARGET_LIMIT}/{window_s}s"),
            });
            if PLACES.iter().filter(|other| other.account == place.account).count() > 1 {
                body["account_rate_limit"] = json!(format!("{ACCOUNT_LIMIT}/{window_s}s"));
            }
            let made = self.callers[place.org]
                .change(reqwest::Method::POST, "/api/channels/targets", Some(&body), Duration::from_secs(60))
                .await?;
            let id = made["target_id"].as_str().context("a target that was made has an id")?;
            self.targets.push(id.parse()?);
        }
        Ok(())
    }

    /// A connection past every proxy.
    pub async fn connect_nats(&self) -> anyhow::Result<Nats> {
        Ok(Nats::connect(&self.nats_url, prefix()?, "torture").await?)
    }

    /// Runs the command line to its end; gives its exit code and what it said.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<(i32, String)> {
        let output = tokio::process::Command::new(&self.program)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true)
            .output()
            .await?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok((output.status.code().unwrap_or(-1), said))
    }

    /// Up to which message of UNITS the intake has acknowledged every one; 0 where NATS does not say so at once.
    pub async fn acknowledged(&self) -> u64 {
        let asked = async {
            let units = self.transport.stream(StreamKind::Units).await?;
            anyhow::Ok(units.consumer_info("intake").await?.ack_floor.stream_sequence)
        };
        let told = tokio::time::timeout(TO_TELL, asked).await;
        told.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Notes that NATS has lost everything.
    pub fn note_wipe(&self, wipe: Wipe) {
        self.wipes.lock().unwrap_or_else(PoisonError::into_inner).push(wipe);
    }

    /// Whether a wipe may have what NATS had taken.
    pub fn may_have_lost(&self, published: &Published) -> bool {
        published.may_be_lost(&self.wipes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that somebody, or everybody, could not go on since then, and can now.
    pub fn note_disturbance(&self, who: Option<Who>, began_us: u64) {
        let disturbance = Disturbance { who, began_us, ended_us: now_us() };
        self.disturbances.lock().unwrap_or_else(PoisonError::into_inner).push(disturbance);
    }

    /// When somebody could not go on.
    pub fn disturbances_of(&self, who: Who) -> Vec<Disturbance> {
        let all = self.disturbances.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|one| one.who.is_none_or(|other| other == who)).copied().collect()
    }

    /// Notes that calls to the channel could fail since then, and can no more.
    pub fn note_call_fault(&self, began_us: u64) {
        let fault = CallFault { began_us, ended_us: now_us() };
        self.call_faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// When calls to the channel could fail.
    pub fn call_faults(&self) -> Vec<CallFault> {
        self.call_faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes what a person needs who looks into a violation.
    pub async fn keep_evidence(&self) -> anyhow::Result<()> {
        let arrivals = self.sandbox.get("/arrivals?limit=1000000").await?;
        std::fs::write(self.folder.join("arrivals.json"), serde_json::to_vec_pretty(&arrivals)?)?;
        let mut postgres = self.postgres.lock().await;
        postgres.run().await?;
        postgres.dump(&self.folder.join("database.sql"))
    }
}

/// The prefix of streams and subjects.
pub fn prefix() -> anyhow::Result<Prefix> {
    Ok(PREFIX.parse()?)
}

/// What every process has.
fn environment(folder: &Path) -> Vec<(String, String)> {
    let settings = [
        ("NATS_PREFIX", PREFIX.to_owned()),
        ("DISTRIBUTION_SECRETS_DIR", folder.join("secrets").display().to_string()),
        ("DISTRIBUTION_ALLOW_PRIVATE_CHANNELS", "true".to_owned()),
        // Short, so that what a crash leaves behind comes free while a run lasts.
        ("DISTRIBUTION_CALL_TIMEOUT_S", "4".to_owned()),
        ("DISTRIBUTION_HEALTH_INTERVAL_S", "10".to_owned()),
        // Both dispatchers call from the address of this name, whatever the sandbox sees.
        ("DISTRIBUTION_EGRESS", "torture".to_owned()),
        ("DISTRIBUTION_EGRESS_LIMIT", format!("{EGRESS_LIMIT}/{}s", WINDOW_MS / 1_000)),
        ("DISTRIBUTION_POOL", "12".to_owned()),
        ("RUST_LOG", "info,sqlx=warn".to_owned()),
        ("RUST_BACKTRACE", "1".to_owned()),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).into()
}

fn run(program: &Path, environment: &[(String, String)], arguments: &[&str]) -> anyhow::Result<String> {
    let output = std::process::Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "distribution {} failed: {said}", arguments.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn caller(program: &Path, environment: &[(String, String)], fleet: &Fleet, org: &str) -> anyhow::Result<Caller> {
    let arguments = ["token", "--subject", "torture", "--org", org, "--role", "owner", "--expires-in", "7d"];
    let token = run(program, environment, &arguments)?;
    let apis = fleet.apis().into_iter().map(|base| Ok(Api::at(base, Caller::LIMIT)?.with_token(token.trim())));
    Ok(Caller::new(apis.collect::<anyhow::Result<_>>()?))
}
