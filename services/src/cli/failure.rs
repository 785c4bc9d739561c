//! How a command fails: what is said, as text or as JSON, and with which exit code.

use std::io::Write;
use std::process::ExitCode;

use adapters::nats::dead_letters::DeadLetterError;
use adapters::postgres::passes;
use adapters::secrets::SecretError;
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use domain::listing::ListingError;
use domain::target::TargetError;
use domain::text::steady;
use serde_json::json;

use super::format::Format;
use crate::commands::CommandError;
use crate::config::InvalidAddress;
use crate::payloads::PayloadError;
use crate::syncing::SyncError;

/// Failures that this command line finds by itself, and marks on those of others.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Something asked for is not there or not allowed.
    #[error("{0}")]
    Refused(String),
    /// A flag whose value cannot be used.
    #[error("{field}: {reason}")]
    Usage {
        /// The flag, in snake case.
        field: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Postgres or NATS.
    #[error("{0}")]
    Unreachable(String),
    /// A check found something, and has said so.
    #[error("a check failed")]
    CheckFailed,
    /// Nobody reads stdout any more.
    #[error("nobody reads the output")]
    ReaderGone,
}

const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;

/// Says what clap found, or prints the help that was asked for.
pub(super) fn usage<C: CommandFactory>(error: clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let error = if asked { error } else { without_settings::<C>(error) };
    if asked || !json_wanted() {
        // A reader that is gone does not change what was asked for.
        let _ = error.print();
        return if asked { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
    }
    let text = error.render().to_string();
    // The arguments that are missing stand on lines of their own, up to the first empty one.
    let said: Vec<&str> = text.trim().lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    say(said.join(" ").trim_start_matches("error: "), argument(&error).as_deref(), Format::Json);
    ExitCode::from(USAGE)
}

/// The same error, without the flags that the environment sets: clap counts those as given, and would show them in the
/// usage line of every command. They are hidden here alone, so that `--help` still lists them.
fn without_settings<C: CommandFactory>(error: clap::Error) -> clap::Error {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return error;
    }
    let hide = |argument: clap::Arg| if argument.is_global_set() { argument.hide(true) } else { argument };
    C::command().mut_args(hide).try_get_matches().err().unwrap_or(error)
}

/// clap gives no parsed flags with an error.
fn json_wanted() -> bool {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    words.iter().any(|word| word == "--output=json") || words.windows(2).any(|pair| pair == ["--output", "json"])
}

/// The argument that clap complains about, in snake case.
pub(super) fn argument(error: &clap::Error) -> Option<String> {
    let named = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(one) => one,
        ContextValue::Strings(all) => all.first()?,
        _ => return None,
    };
    let word = named.split_whitespace().next()?;
    if error.kind() == ErrorKind::UnknownArgument && !word.starts_with('-') {
        // A value that has no place is the name of nothing.
        return None;
    }
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    Some(bare.to_lowercase().replace('-', "_"))
}

/// Says why a command failed.
pub(super) fn report(error: &anyhow::Error, format: Format) -> ExitCode {
    match error.downcast_ref::<Failure>() {
        Some(Failure::ReaderGone) => return ExitCode::SUCCESS,
        Some(Failure::CheckFailed) => return ExitCode::from(REFUSED),
        _ => {}
    }
    say(&message(error), field(error), format);
    ExitCode::from(code(error))
}

fn say(message: &str, field: Option<&str>, format: Format) {
    let line = match format {
        Format::Table => format!("error: {}", steady(message)),
        Format::Json => {
            let mut error = json!({ "message": message });
            if let Some(field) = field {
                error["field"] = field.into();
            }
            json!({ "error": error }).to_string()
        }
    };
    // There is no other place to say it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The chain of causes; a cause that the words before it quote already is not said again.
pub(super) fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn field(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(Failure::Usage { field, .. }) = error.downcast_ref() {
        return Some(field);
    }
    if let Some(invalid) = error.downcast_ref::<InvalidAddress>() {
        return Some(invalid.field);
    }
    field_of_target(error)
}

/// The field of a target that cannot be what was given.
fn field_of_target(error: &anyhow::Error) -> Option<&'static str> {
    let target = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<TargetError>() {
        Some(TargetError::Field { field, .. }) => Some(*field),
        _ => match cause.downcast_ref::<CommandError<TargetError>>() {
            Some(CommandError::Refused(TargetError::Field { field, .. })) => Some(*field),
            _ => None,
        },
    };
    error.chain().find_map(target)
}

fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Usage { .. }) => return USAGE,
        Some(Failure::Unreachable(_)) => return UNREACHABLE,
        Some(_) => return REFUSED,
        None => {}
    }
    if error.is::<InvalidAddress>() || field_of_target(error).is_some() {
        return USAGE;
    }
    if error.chain().any(is_unreachable) { UNREACHABLE } else { REFUSED }
}

fn is_unreachable(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref().is_some_and(passes)
        || cause.is::<async_nats::ConnectError>()
        || matches!(cause.downcast_ref(), Some(CommandError::<TargetError>::Unavailable(_)))
        || matches!(cause.downcast_ref(), Some(CommandError::<ListingError>::Unavailable(_)))
        || cause.downcast_ref().is_some_and(SyncError::is_outage)
        || cause.downcast_ref().is_some_and(PayloadError::is_outage)
        || matches!(cause.downcast_ref(), Some(DeadLetterError::Nats(_)))
        || matches!(cause.downcast_ref(), Some(SecretError::Unreachable { .. }))
}
