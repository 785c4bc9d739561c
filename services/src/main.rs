//! `distribution`: the one binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

// A third of a sync's time was the system's allocator (bench/README.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    services::cli::run().await
}
