//! `distribution`: the one binary.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    services::cli::run().await
}
