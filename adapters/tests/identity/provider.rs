//! An OpenID provider in its own process (`dev/oidc-provider`), which ends with this.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub struct Provider {
    process: Child,
    pub issuer: String,
}

/// How it runs: on a free port, and signing with RS256, where nothing else is said.
#[derive(Default)]
pub struct How {
    pub port: Option<u16>,
    pub algorithm: Option<&'static str>,
    /// Claims in the ID token; otherwise they stand in the user info alone.
    pub claims_in_token: bool,
    /// Of those in the ID token the accounts stand in the user info alone.
    pub accounts_apart: bool,
    /// A user info that is not as it should be: `another` person's, `away`, or one that `refuses`.
    pub user_info: Option<&'static str>,
}

impl Provider {
    pub fn start(how: &How) -> Self {
        let claims_in = match (how.claims_in_token, how.accounts_apart) {
            (false, _) => "userinfo",
            (true, false) => "id_token",
            (true, true) => "both",
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/oidc-provider");
        let mut process = Command::new(script)
            .env("PROVIDER_PORT", how.port.unwrap_or(0).to_string())
            .env("PROVIDER_ALGORITHM", how.algorithm.unwrap_or("RS256"))
            .env("PROVIDER_CLAIMS_IN", claims_in)
            .env("PROVIDER_USER_INFO", how.user_info.unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut issuer = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut issuer).unwrap();
        let issuer = issuer.trim().to_owned();
        assert!(issuer.starts_with("http://127.0.0.1:"), "the provider did not start: {issuer:?}");
        Self { process, issuer }
    }

    pub fn port(&self) -> u16 {
        self.issuer.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop();
    }
}
