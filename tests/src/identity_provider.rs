//! The OpenID provider of `dev/oidc-provider` as a process of its own, which ends with this.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A running provider, at which the person `ops` may sign in.
#[derive(Debug)]
pub struct IdentityProvider {
    _process: Child,
    /// As it names itself.
    pub issuer: String,
}

impl IdentityProvider {
    /// Starts one on a free port. It sends people back to `callback`, a `BASE/sign-in/callback`, and to `BASE/signed-out`.
    pub async fn start(callback: &str) -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/oidc-provider");
        let mut command = Command::new(script);
        command.env("PROVIDER_CALLBACK", callback).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().context("dev/oidc-provider does not run")?;
        let printed = process.stdout.take().context("its output is piped")?;
        let issuer = BufReader::new(printed).lines().next_line().await?.context("the provider did not start")?;
        Ok(Self { _process: process, issuer })
    }
}
