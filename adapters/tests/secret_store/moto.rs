//! moto as its own process: it speaks the protocol of AWS Secrets Manager. It dies with the value.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use adapters::secrets::AwsSecrets;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Config, Credentials};

pub struct Moto {
    process: Child,
    endpoint: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Moto {
    pub async fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/moto");
        let mut command = Command::new(script);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let moto = Self { process: command.spawn().unwrap(), endpoint: format!("http://127.0.0.1:{port}") };
        let patience = Instant::now() + Duration::from_secs(60);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < patience, "moto does not come up: run dev/moto --fetch, or dev/moto to see why");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        moto
    }

    /// Where it is, or was.
    pub fn address(&self) -> String {
        self.endpoint.trim_start_matches("http://").to_owned()
    }

    /// A client of its own, for what other tools do.
    pub fn client(&self) -> Client {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .endpoint_url(&self.endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .build();
        Client::from_conf(config)
    }

    pub fn secrets(&self, kept_for: Duration) -> AwsSecrets {
        AwsSecrets::new(self.client(), kept_for)
    }
}
