//! A database, a NATS prefix and a folder of secrets for one test, gone at its end, also when the test fails.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use adapters::units::{UnitSnapshot, UnitStore};
use domain::unit::UnitChanged;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// What a target in a test refers to; nothing listens there.
pub const NOWHERE: &str = "http://127.0.0.1:9/v1";

/// What one run of the binary gave.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The document on stdout.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error on stderr.
    pub fn error(&self) -> Value {
        let error: Value = serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        error["error"].clone()
    }

    /// The error's words.
    pub fn error_message(&self) -> String {
        self.error()["message"].as_str().unwrap().to_owned()
    }

    /// That it went well.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub struct World {
    runtime: Runtime,
    admin_url: String,
    pub name: String,
    pub database_url: String,
    pub nats_url: String,
    pub prefix: String,
    pub secrets: tempfile::TempDir,
}

impl World {
    /// An empty database, without a schema.
    pub fn empty() -> Self {
        Self::copied("")
    }

    fn copied(template: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let admin_url = std::env::var("DATABASE_URL").expect("DATABASE_URL names the Postgres to test on");
        let nats_url = std::env::var("NATS_URL").expect("NATS_URL names the NATS to test on");
        let name = format!("test_{}", Uuid::new_v4().simple());
        runtime.block_on(admin(&admin_url, &format!("CREATE DATABASE {name}{template}")));
        let (server, options) = admin_url.split_once('?').unwrap_or((&admin_url, ""));
        let (server, _) = server.rsplit_once('/').expect("the address names a database");
        let database_url = format!("{server}/{name}?{options}");
        let prefix = format!("cli-{}", &Uuid::new_v4().simple().to_string()[..12]);
        let secrets = tempfile::tempdir().unwrap();
        Self { runtime, admin_url, name, database_url, nats_url, prefix, secrets }
    }

    /// A database with the schema.
    pub fn new() -> Self {
        if let Ok(template) = std::env::var("TEST_TEMPLATE") {
            // It was migrated by this build.
            return Self::copied(&format!(" TEMPLATE {template}"));
        }
        let world = Self::copied("");
        world.run(&["migrate"]).ok();
        world
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distribution"));
        command
            .env("DATABASE_URL", &self.database_url)
            .env("NATS_URL", &self.nats_url)
            .env("NATS_PREFIX", &self.prefix)
            .env("DISTRIBUTION_SECRETS_DIR", self.secrets.path())
            .env("DISTRIBUTION_ALLOW_PRIVATE_CHANNELS", "true")
            .env("USER", "tester")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command().args(arguments).output().unwrap().into()
    }

    pub fn json(&self, arguments: &[&str]) -> Ran {
        self.command().args(["--output", "json"]).args(arguments).output().unwrap().into()
    }

    /// Makes a target of organisation `sunstay`, account `bali`; gives its id.
    pub fn target(&self, name: &str) -> String {
        self.target_of("sunstay", name, &[])
    }

    pub fn target_of(&self, org: &str, name: &str, more: &[&str]) -> String {
        let given = ["target", "create", "--org", org, "--account", "bali", "--name", name, "--base-url", NOWHERE];
        let rest = ["--channel-account", "10450", "--secret-ref", "file:hostaway"];
        let arguments = [&given[..], &rest[..], more].concat();
        self.run(&arguments).ok().stdout.trim().to_owned()
    }

    /// Links a unit; gives its listing.
    pub fn link(&self, target: &str, unit: &str) -> String {
        let linked = self.json(&["listing", "link", "--target", target, "--unit", unit]).ok().json();
        linked[0]["listing_id"].as_str().unwrap().to_owned()
    }

    /// Keeps a unit as the intake would; gives its snapshot's address.
    pub fn keep(&self, body: Value) -> String {
        self.block_on(self.keep_async(body))
    }

    pub async fn keep_async(&self, body: Value) -> String {
        let unit = UnitChanged::from_value(body).unwrap();
        let snapshot = UnitSnapshot::of(&unit);
        let hash = snapshot.hash;
        let pool = PgPool::connect(&self.database_url).await.unwrap();
        UnitStore::new(pool.clone()).keep(&[snapshot]).await.unwrap();
        pool.close().await;
        hash.to_string()
    }

    pub fn secret(&self, name: &str, mode: u32) {
        let path = self.secrets.path().join(name);
        let mut file = std::fs::OpenOptions::new().create(true).write(true).mode(mode).open(&path).unwrap();
        file.write_all(b"s3cret-value").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    pub async fn nats(&self) -> Nats {
        Nats::connect(&self.nats_url, self.prefix.parse().unwrap(), "test").await.unwrap()
    }

    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.runtime.block_on(async {
            let nats = self.nats().await;
            for kind in StreamKind::ALL {
                // Most tests make none.
                let _ = nats.jetstream.delete_stream(nats.stream_config(kind).unwrap().name).await;
            }
            admin(&self.admin_url, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
        });
    }
}

async fn admin(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(statement).await.unwrap();
    connection.close().await.unwrap();
}

/// The contract's example as a unit of `sunstay`.
pub fn unit(name: &str, revision: u64) -> Value {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats/examples/unit-changed.v1.json");
    let mut body: Value = serde_json::from_str(&std::fs::read_to_string(example).unwrap()).unwrap();
    body["org_id"] = "sunstay".into();
    body["account_id"] = "bali".into();
    body["unit_id"] = name.into();
    body["revision"] = revision.into();
    body
}
