//! `distribution`: the one binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

// A third of a sync's time was the system's allocator (bench/README.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().on_thread_start(give_way).enable_all().build();
    runtime.expect("a process may have threads").block_on(services::cli::run())
}

/// What syncs by itself makes room for the API's threads, which somebody waits for, where both want one core.
fn give_way() {
    // Linux keeps it for each thread. One that may not change it goes on as it is.
    let _ = rustix::process::setpriority_process(None, 5);
}
