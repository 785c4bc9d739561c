//! Where the servers and programs are: `dev/bench-tools` gives them in the environment.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::{Context as _, ensure};
use sqlx::postgres::PgConnectOptions;

/// A variable that has to be there.
pub fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run the benchmarks by `./justw bench`"))
}

/// A program of this workspace, next to this one.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.exists(), "{} is missing: `./justw bench` builds it first", path.display());
    Ok(path)
}

/// The server as `DATABASE_URL` names it.
pub fn postgres() -> anyhow::Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_str(&variable("DATABASE_URL")?)?)
}

/// `DATABASE_URL` with another database.
pub fn database_url(database: &str) -> anyhow::Result<String> {
    let base = variable("DATABASE_URL")?;
    let (head, query) =
        base.split_once('?').map_or((base.as_str(), String::new()), |(head, query)| (head, format!("?{query}")));
    let slash = head.rfind('/').context("DATABASE_URL names no database")?;
    Ok(format!("{}/{database}{query}", &head[..slash]))
}

/// The process that a pid file names.
pub fn pid_in(file: &Path) -> anyhow::Result<u32> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    text.lines()
        .next()
        .unwrap_or_default()
        .trim()
        .parse()
        .with_context(|| format!("{} names no process", file.display()))
}
