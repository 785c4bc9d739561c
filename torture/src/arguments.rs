//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Tries to break the service, by a seed that repeats, and checks what is left against a model.
///
/// Starts a Postgres, a NATS, a Hostaway sandbox and eleven processes of `distribution` (two of each role but health,
/// which has one), all of its own, and drives a workload of changes, links, unlinks, syncs and pauses of three
/// organisations. Meanwhile a schedule kills, stops and restarts processes and servers, cuts and delays connections,
/// wipes and fills NATS, and has the sandbox fail. Then everything is healed, and once it is quiet some classes of faults
/// come once more, each by itself, to measure the recovery. At the end the journal, the read models, the streams, the API and
/// the sandbox are compared with the model.
///
/// The last line on stdout is JSON: runs, seed, verdict, faults, violations, details, calls of which nobody could tell and the
/// times to recover. The exit code is 1 where something was violated; what the run left is kept then, and where is printed.
#[derive(Debug, Clone, Parser)]
#[command(name = "torture")]
pub struct Arguments {
    /// How many runs; each has the seed of the one before, plus one
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub runs: u64,

    /// How many of them side by side, each with servers, ports and a folder of its own. One wants half a core and up to
    /// half a gigabyte of memory; on a machine that has less, times run out by themselves
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    pub at_once: u64,

    /// What faults and workload are drawn from; a new one by default. Of several runs, that of the first
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,

    /// How long each run is broken and worked on, in seconds
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u64).range(5..=3_600))]
    pub seconds: u64,

    /// Units of all organisations together
    #[arg(long, default_value_t = 90, value_name = "N", value_parser = clap::value_parser!(u64).range(3..=3_000))]
    pub units: u64,

    /// How many faults, on average, in ten seconds
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=100))]
    pub faults: u64,

    /// Only faults whose name begins with one of these, e.g. `kill,cut-nats`; `--plan` shows names
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<String>,

    /// How long after the healing it may take until all is quiet, in seconds
    #[arg(long, default_value_t = 240, value_name = "N")]
    pub patience: u64,

    /// Print the schedule of the first run, and run nothing
    #[arg(long)]
    pub plan: bool,

    /// The program of the service; the one beside this program by default
    #[arg(long, value_name = "PATH")]
    pub distribution: Option<PathBuf>,

    /// Keep the logs and the database of runs without a violation, too
    #[arg(long)]
    pub keep: bool,
}
