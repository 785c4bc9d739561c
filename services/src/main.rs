//! `distribution`: the one binary.

use std::process::ExitCode;
use std::time::Duration;

use mimalloc::MiMalloc;
use tokio::runtime::Runtime;

// A third of a sync's time was the system's allocator (bench/README.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// At the end nobody waits longer for what blocks a thread, such as a resolver that gets no answer.
const LAST: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let runtime = Runtime::new().expect("the system gives threads and a poll");
    let code = runtime.block_on(services::cli::run());
    runtime.shutdown_timeout(LAST);
    code
}
