//! `secret`: values that targets refer to. A value comes from stdin or a file and is never an argument, which every user
//! of the machine could read; none is ever shown.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use adapters::secrets::{Entry, ROTATION_GRACE, SecretStore as _, Secrets, Standing, read_value};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::secret::{InvalidSecret, SecretKeeper, SecretRef, check_value};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::time::timeout;

use super::failure::Failure;
use super::output::{note, optional, text};
use super::session::Session;
use super::times::moment;
use crate::config::SecretsOptions;
use crate::credentials;
use crate::credentials::changes::{self, Change};
use crate::credentials::pending;
use crate::credentials::turn::Turn;

#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// Keep a new secret; targets that use it already tell who put it there
    Put(PutArgs),
    /// Give a secret a new value, and have its targets tell who did; the previous one is still accepted for five minutes
    Rotate(RotateArgs),
    /// The secrets of the encrypted store: names and times, no values
    List(ListArgs),
    /// Forget a secret that no target uses
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    distribution secret put hostaway-bali <hostaway.txt\n  \
    distribution secret put aws:prod/hostaway-bali --from-file hostaway.txt\n\n\
    A target refers to it with --secret-ref store:hostaway-bali.")]
pub(super) struct PutArgs {
    #[command(flatten)]
    what: Named,
    #[command(flatten)]
    value: Value,
    #[command(flatten)]
    secrets: SecretsOptions,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Calls under way end with the value that they began with, new ones use the new value. Where the \
    channel does not know it yet, the previous one is used while it is still accepted. A target that waits for good \
    credentials goes on with `distribution target resume TARGET`.\n\n\
    Example:\n  distribution secret rotate hostaway-bali --from-file hostaway.txt"
)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    what: Named,
    #[command(flatten)]
    value: Value,
    #[command(flatten)]
    secrets: SecretsOptions,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    secrets: SecretsOptions,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    what: Named,
    /// Do not ask Postgres whether a target uses it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    secrets: SecretsOptions,
}

#[derive(Debug, Args)]
struct Named {
    /// Its name: NAME or store:NAME in the encrypted store, aws:NAME in AWS Secrets Manager; never the secret itself
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
struct Value {
    /// The file with the value; - is stdin. One newline at its end is not part of it; other white space around it is refused
    #[arg(long, default_value = "-", value_name = "FILE")]
    from_file: PathBuf,
}

impl Named {
    fn reference(&self) -> Result<SecretRef, Failure> {
        let whole = if self.name.contains(':') { self.name.clone() } else { format!("store:{}", self.name) };
        // Not parsed by clap, whose error would show the secret that somebody gave instead.
        whole.parse().map_err(|error: domain::secret::InvalidSecretRef| Failure::Usage {
            field: "name",
            reason: error.to_string(),
        })
    }
}

impl Value {
    fn read(&self) -> Result<SecretString, Failure> {
        let value = self.read_as_it_is()?;
        let invalid =
            |error: InvalidSecret| Failure::Usage { field: "from_file", reason: format!("the value {error}") };
        check_value(value.expose_secret()).map_err(invalid)?;
        Ok(value)
    }

    fn read_as_it_is(&self) -> Result<SecretString, Failure> {
        let unusable =
            |error: std::io::Error| Failure::Usage { field: "from_file", reason: format!("the value: {error}") };
        if self.from_file.as_os_str() == "-" {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                note("the value, then Enter and ctrl-d (it is shown as you type):");
            }
            return read_value(stdin.lock()).map_err(unusable);
        }
        read_value(std::fs::File::open(&self.from_file).map_err(unusable)?).map_err(unusable)
    }
}

impl SecretCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Put(args) => {
                let secret = args.what.reference()?;
                args.secrets.secrets().create(&secret, args.value.read()?).await?;
                put(session, &secret, Change::Put).await
            }
            Self::Rotate(args) => args.run(session).await,
            Self::List(args) => {
                list(session, &args.secrets)?;
                told_pending(session).await;
                Ok(())
            }
            Self::Delete(args) => args.run(session).await,
        }
    }
}

/// The turn of a secret that the API keeps for a target. It puts values in no other place, so of others there is none. What the API has
/// begun there and not ended is ended first: it would take back what stands for another value by then.
async fn turn(session: &Session, secret: &SecretRef, secrets: &Secrets) -> anyhow::Result<Option<Turn>> {
    let Some(target) = credentials::kept_for(secret) else { return Ok(None) };
    let pool = session.postgres().await?;
    let turn = Turn::take(&pool, target).await?;
    let not_ended = "an earlier change of this secret has not come to its end";
    let earlier = pending::of_target(&pool, target).await.context(not_ended)?;
    pending::end_all(&pool, secrets, earlier).await.context(not_ended)?;
    Ok(Some(turn))
}

impl RotateArgs {
    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let secret = self.what.reference()?;
        let value = self.value.read()?;
        let secrets = self.secrets.secrets();
        let turn = turn(session, &secret, &secrets).await?;
        let rotated = secrets.rotate(&secret, value).await;
        if let Some(turn) = turn {
            turn.end().await;
        }
        rotated?;
        put(session, &secret, Change::Rotate).await
    }
}

impl DeleteArgs {
    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let secret = self.what.reference()?;
        let ours = matches!(secret.keeper(), SecretKeeper::Store | SecretKeeper::Aws);
        let (mut its_turn, secrets) = (None, self.secrets.secrets());
        if ours && !self.force {
            // In a rotation a target refers to it only once it is there.
            its_turn = turn(session, &secret, &secrets).await?;
            let users = credentials::users(&session.postgres().await?, &secret).await?;
            if !users.is_empty() {
                let reason = format!(
                    "secret {secret}: used by target {}; give it another secret, or delete it",
                    users.join(", target ")
                );
                return Err(Failure::Refused(reason).into());
            }
        }
        let deleted = secrets.delete(&secret).await;
        if let Some(turn) = its_turn {
            turn.end().await;
        }
        deleted?;
        said(session, &secret, "deleted")
    }
}

fn said(session: &Session, secret: &SecretRef, done: &str) -> anyhow::Result<()> {
    if session.out.is_json() {
        return session.out.json(&json!({ "secret_ref": secret, "done": done }));
    }
    session.out.line(&format!("secret {secret} is {done}"))
}

/// Says that a value is in its place, and has the targets tell who put it there.
async fn put(session: &Session, secret: &SecretRef, change: Change) -> anyhow::Result<()> {
    let done = match change {
        Change::Put => "created",
        Change::Rotate => "rotated",
    };
    let targets = noted(session, secret, change).await;
    if session.out.is_json() {
        return session.out.json(&json!({ "secret_ref": secret, "done": done, "targets": targets }));
    }
    session.out.line(&format!("secret {secret} is {done}"))?;
    if change == Change::Rotate {
        note(&format!("the previous value is still accepted for {} s", ROTATION_GRACE.as_secs()));
    }
    Ok(())
}

/// The targets that use the secret and tell of it from now on. Its value is in place, also where they cannot: then that is said.
async fn noted(session: &Session, secret: &SecretRef, change: Change) -> Option<Vec<String>> {
    let noted = async {
        let pool = session.postgres().await?;
        anyhow::Ok(changes::note(&pool, secret, change, &session.actor).await?)
    };
    let not_told = |error: &anyhow::Error| note(&format!("no target tells that you have put it there: {error}"));
    noted.await.inspect_err(not_told).ok()
}

fn list(session: &Session, options: &SecretsOptions) -> anyhow::Result<()> {
    let store = options.secrets().store;
    let entries = store.list().with_context(|| store.path().display().to_string())?;
    if session.out.is_json() {
        return session.out.json(&entries);
    }
    let rows = entries.iter().map(|entry| {
        let (rotated, until) = (entry.rotated_at.map(moment), previous_until(entry));
        vec![text(&entry.secret_ref), text(moment(entry.created_at)), optional(rotated), optional(until)]
    });
    let header = ["secret", "created", "rotated", "previous value until"];
    session.out.table(&header, rows.collect(), "no secret is kept here; `distribution secret put` keeps one")
}

/// Until when the previous value is given, and which one it is where that is not the one of before.
fn previous_until(entry: &Entry) -> Option<String> {
    let until = moment(entry.previous_until?);
    Some(match entry.standing {
        Standing::Settled => until,
        Standing::Pending => format!("{until} at the longest: its rotation is not settled"),
        Standing::TakenBack => format!("{until}: the value that was taken back"),
    })
}

/// Postgres answers within this time, or nobody waits for it: what was asked for is told already.
const PATIENCE: Duration = Duration::from_secs(3);

/// Says which of them the API has put there, or was about to, without an event. Names and times are told without Postgres, too.
async fn told_pending(session: &Session) {
    let found = async { anyhow::Ok(pending::late(&session.postgres().await?).await?) };
    let found = timeout(PATIENCE, found).await;
    for pending in found.ok().and_then(Result::ok).unwrap_or_default() {
        note(&pending.words());
    }
}
