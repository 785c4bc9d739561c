//! `dead-letters`: messages that could not be used, to be read, sent again or thrown away.

use adapters::nats::Nats;
use adapters::nats::dead_letters::DeadLetter;
use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use super::failure::{Failure, message};
use super::output::{Cell, note, text};
use super::session::Session;
use super::times::{moment, optional_moment};
use crate::dead_letters::{Decision, DecisionError, Wish, decide, decided};

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// The oldest ones, with what is wrong first
    List(ListArgs),
    /// One, with everything that is wrong and its body
    Show(ShowArgs),
    /// Publish them once more where they came from; those that are still wrong come back with a new number
    Replay(ReplayArgs),
    /// Take them off the stream for good
    Discard(DiscardArgs),
    /// Who replayed or discarded which one, the newest first
    Decisions(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// How many at most
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its number
    number: u64,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example, after an organisation's first target was made:\n  distribution dead-letters replay --all"
)]
#[command(group = ArgGroup::new("which").required(true).args(["numbers", "all"]))]
pub(super) struct ReplayArgs {
    /// Their numbers
    #[arg(value_name = "NUMBER")]
    numbers: Vec<u64>,
    /// Every one that there is now
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Nothing brings a discarded message back; with --all, say --yes too.")]
#[command(group = ArgGroup::new("which").required(true).args(["numbers", "all"]))]
pub(super) struct DiscardArgs {
    /// Their numbers
    #[arg(value_name = "NUMBER")]
    numbers: Vec<u64>,
    /// Every one that there is now
    #[arg(long, requires = "yes")]
    all: bool,
    /// That all of them are really meant
    #[arg(long)]
    yes: bool,
}

/// What became of one letter.
#[derive(Debug, Serialize)]
struct Answer {
    number: u64,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl DeadLettersCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::List(args) => list(session, &session.jetstream().await?, args.limit).await,
            Self::Show(args) => show(session, &session.jetstream().await?.dead_letter(args.number).await?),
            Self::Replay(args) => carry_out(session, args.numbers, args.all, Decision::Replay).await,
            Self::Discard(args) => carry_out(session, args.numbers, args.all, Decision::Discard).await,
            Self::Decisions(args) => decisions(session, args.limit).await,
        }
    }
}

async fn carry_out(session: &Session, numbers: Vec<u64>, all: bool, decision: Decision) -> anyhow::Result<()> {
    let (pool, nats) = (session.postgres().await?, session.jetstream().await?);
    let mut answers = Vec::new();
    for number in chosen(&nats, numbers, all).await? {
        let done = async {
            let letter = nats.dead_letter(number).await?;
            let wish = Wish { letter: &letter, decision, by: &session.actor, causation_id: None };
            decide(&pool, &nats, wish).await
        };
        answers.push(answer(number, done.await));
    }
    tell(session, &answers, if decision == Decision::Replay { "sent again" } else { "discarded" })
}

/// With --all those that there are now: one that comes back meanwhile is not sent in a circle.
async fn chosen(nats: &Nats, numbers: Vec<u64>, all: bool) -> anyhow::Result<Vec<u64>> {
    if !all {
        return Ok(numbers);
    }
    let letters = nats.dead_letters(None, 0, usize::MAX).await?;
    if letters.is_empty() {
        note("there are no dead letters");
    }
    Ok(letters.into_iter().map(|letter| letter.number).collect())
}

fn answer(number: u64, done: Result<(), DecisionError>) -> Answer {
    let error = done.err().map(|error| message(&error.into()));
    Answer { number, done: error.is_none(), error }
}

fn tell(session: &Session, answers: &[Answer], did: &str) -> anyhow::Result<()> {
    if session.out.is_json() {
        session.out.json(&answers)?;
    } else {
        for answer in answers {
            let what = answer.error.as_deref().unwrap_or(did);
            session.out.line(&format!("{}  {what}", answer.number))?;
        }
    }
    if answers.iter().all(|answer| answer.done) { Ok(()) } else { Err(Failure::CheckFailed.into()) }
}

async fn list(session: &Session, nats: &Nats, limit: u32) -> anyhow::Result<()> {
    let letters = nats.dead_letters(None, 0, usize::try_from(limit)?).await?;
    if session.out.is_json() {
        return session.out.json(&letters);
    }
    let rows = letters.iter().map(cells).collect();
    session.out.table(&["number", "at", "subject", "what is wrong"], rows, "there are no dead letters")
}

fn cells(letter: &DeadLetter) -> Vec<Cell> {
    let more = letter.problems.len().saturating_sub(1);
    let first = letter.problems.first().map(ToString::to_string).unwrap_or_default();
    let what = if more > 0 { format!("{first} (and {more} more)") } else { first };
    vec![text(letter.number), text(optional_moment(letter.at)), text(&letter.subject), text(what)]
}

fn show(session: &Session, letter: &DeadLetter) -> anyhow::Result<()> {
    if session.out.is_json() {
        return session.out.json(letter);
    }
    session.out.record(&[
        ("number", letter.number.to_string()),
        ("at", optional_moment(letter.at)),
        ("subject", letter.subject.clone()),
        ("trace", letter.trace_id.clone().unwrap_or_default()),
    ])?;
    for problem in &letter.problems {
        session.out.line(&format!("wrong    {problem}"))?;
    }
    session.out.line("")?;
    session.out.line(&letter.body())
}

async fn decisions(session: &Session, limit: u32) -> anyhow::Result<()> {
    let pool = session.postgres().await?;
    let decided = decided(&mut *pool.acquire().await?, None, None, limit.into()).await?;
    if session.out.is_json() {
        return session.out.json(&decided);
    }
    let rows = decided.into_iter().map(|row| {
        let decision = if row.done == Some(false) { format!("{}, in vain", row.decision) } else { row.decision };
        let cells =
            [moment(row.decided_at), row.number.to_string(), decision, row.decided_by, row.credential, row.subject];
        cells.into_iter().map(text).collect()
    });
    let heads = ["at", "number", "decision", "by", "credential", "subject"];
    session.out.table(&heads, rows.collect(), "nobody has replayed or discarded a dead letter")
}
