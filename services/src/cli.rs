//! The command line: one file per group of commands, answers on stdout, everything else on stderr.
//!
//! Every answer has a form for people and one for machines; the exit codes are a promise (`--help` lists them).

mod arguments;
mod audit;
mod completions;
mod dead_letters;
mod doctor;
mod explain;
mod failure;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzz_door;
mod identity;
mod lag;
mod levels;
mod listing;
mod log_level;
mod migrate;
mod output;
mod projections;
mod queue;
mod secret;
mod secret_warning;
mod session;
mod target;
mod times;
mod unit;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use domain::metadata::Actor;

use crate::config::{Connections, ServeOptions};
use crate::serve::serve;
use crate::telemetry::{self, LogFormat};
use format::Format;
use output::Out;
use session::Session;

/// Keeps an organisation's units right on outside channels.
#[derive(Debug, Parser)]
#[command(name = "distribution", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    connections: Connections,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or a check failed
  2  wrong usage, of a flag or of an environment variable
  3  Postgres, NATS or a secrets manager cannot be reached

First steps:
  distribution migrate
  distribution serve
  distribution target create --help
  distribution doctor";

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
struct Global {
    /// For people (table) or for machines (json); errors too, on stderr
    #[arg(long, global = true, value_enum, default_value = "table", value_name = "FORMAT")]
    output: Format,

    /// How log lines look; RUST_LOG says which ones there are
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "pretty",
        env = "DISTRIBUTION_LOG_FORMAT",
        value_name = "FORMAT"
    )]
    log_format: LogFormat,

    /// Who is recorded as having done this; the user of the system by default
    #[arg(long = "as", global = true, value_name = "NAME", value_parser = arguments::person)]
    actor: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service, or some of its roles
    Serve(Box<ServeOptions>),
    /// Bring the database's schema up to date
    Migrate(migrate::MigrateArgs),
    /// Targets: accounts at channels, with their limits and credentials
    #[command(subcommand)]
    Target(target::TargetCommand),
    /// Secrets: what targets refer to, kept encrypted
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Listings: units on targets
    #[command(subcommand)]
    Listing(listing::ListingCommand),
    /// Units: publish changes, see what is known
    #[command(subcommand)]
    Unit(unit::UnitCommand),
    /// What is still to be sent, and why it waits
    Queue(queue::QueueArgs),
    /// Why a listing stands as it does: which change, which calls, which rules, what is next
    Explain(explain::ExplainArgs),
    /// The service levels, and whether they hold
    Levels(levels::LevelsArgs),
    /// What was sent, call by call
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Messages that could not be used
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLettersCommand),
    /// Read models: how far they are, rebuild and verify them
    #[command(subcommand)]
    Projections(projections::ProjectionsCommand),
    /// Print a link by which a person signs in once, where there is no identity provider
    SignIn(identity::SignInArgs),
    /// End every session of a person
    SignOut(identity::SignOutArgs),
    /// Sign a token for a service, where there is no identity provider
    Token(identity::TokenArgs),
    /// Show or change what every process logs, while they run
    LogLevel(log_level::LogLevelArgs),
    /// Check everything the service depends on and say what to do
    Doctor(doctor::DoctorArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
}

/// Reads the command line, does what it says, and gives the exit code.
pub async fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage::<Cli>(error),
    };
    let format = cli.global.output;
    match obey(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error, format),
    }
}

async fn obey(cli: Cli) -> anyhow::Result<()> {
    let level = if matches!(cli.command, Command::Serve(_)) { telemetry::SERVED } else { telemetry::COMMANDED };
    let logs = telemetry::start(cli.global.log_format, level)?;
    let actor = Actor::cli(&cli.global.actor.unwrap_or_else(arguments::user));
    let session = Session::new(cli.connections, actor, Out::new(cli.global.output));
    let done = match cli.command {
        Command::Serve(options) => serve(&session.connections, &options, logs).await,
        Command::Migrate(args) => args.run(&session).await,
        Command::Target(command) => command.run(&session).await,
        Command::Secret(command) => command.run(&session).await,
        Command::Listing(command) => command.run(&session).await,
        Command::Unit(command) => command.run(&session).await,
        Command::Queue(args) => args.run(&session).await,
        Command::Explain(args) => args.run(&session).await,
        Command::Levels(args) => args.run(&session).await,
        Command::Audit(command) => command.run(&session).await,
        Command::DeadLetters(command) => command.run(&session).await,
        Command::Projections(command) => command.run(&session).await,
        Command::SignIn(args) => args.run(&session).await,
        Command::SignOut(args) => args.run(&session).await,
        Command::Token(args) => args.run(&session).await,
        Command::LogLevel(args) => args.run(&session).await,
        Command::Doctor(args) => args.run(&session).await,
        Command::Completions(args) => args.run(&session),
    };
    session.end().await;
    done
}
