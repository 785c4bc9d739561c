//! Dead letters of a unit: what was published of it, could not be used, and waits until somebody decides about it.

use std::time::Duration;

use adapters::nats::Nats;
use adapters::nats::dead_letters::{DeadLetter, DeadLetterError};
use chrono::{DateTime, Utc};
use domain::counted::counted;
use domain::ids::OrgId;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::moment::moment;
use super::said::said;

/// Letters that are looked through, the oldest of the organisation: nothing knows them by their unit, and each costs a call.
const LOOKED_THROUGH: usize = 200;
/// So many are in memory at a time: one may be as large as a message.
const AT_ONCE: usize = 20;
/// What is not found within this time is not told: somebody waits.
const LOOKS: Duration = Duration::from_secs(1);
/// Letters that are told in words.
const TOLD: usize = 3;

/// A message of a unit that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnitLetter {
    /// Its number among the dead letters.
    pub number: u64,
    /// The unit's revision in it, where that can be read.
    pub revision: Option<u64>,
    /// Since when it waits.
    pub since: Option<DateTime<Utc>>,
    /// What is wrong with it, or the first of that.
    pub problem: Option<String>,
    /// Where to `POST`, so that it is published again; `null` where it was too large to be kept whole: then its sender has to publish it again.
    pub replay: Option<String>,
    /// What else is wrong with it.
    #[serde(skip)]
    further: usize,
}

/// The dead letters of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnitLetters {
    /// Those that wait, the newest first.
    pub letters: Vec<UnitLetter>,
    /// Its organisation may have more of them than were looked through, so that others may be the unit's, too.
    pub more: bool,
}

#[derive(Deserialize)]
struct Body {
    revision: u64,
}

impl From<&DeadLetter> for UnitLetter {
    fn from(letter: &DeadLetter) -> Self {
        let body: Option<Body> = serde_json::from_slice(letter.payload()).ok();
        let replay = format!("/api/channels/dead-letters/{}/replay", letter.number);
        Self {
            number: letter.number,
            revision: body.map(|body| body.revision),
            since: letter.at,
            problem: letter.problems.first().map(ToString::to_string),
            replay: letter.is_whole().then_some(replay),
            further: letter.problems.len().saturating_sub(1),
        }
    }
}

/// Looks for those of a unit.
///
/// # Errors
/// NATS does not answer in time, or has no dead letters.
pub async fn of_unit(nats: &Nats, org: &OrgId, unit: &str) -> Result<UnitLetters, DeadLetterError> {
    let until = Instant::now() + LOOKS;
    let mut found = UnitLetters { letters: Vec::new(), more: true };
    let mut after = 0;
    for batch in 0..LOOKED_THROUGH / AT_ONCE {
        let letters = match timeout_at(until, nats.dead_letters(Some(org), after, AT_ONCE)).await {
            Ok(letters) => letters?,
            Err(_) if batch == 0 => {
                return Err(DeadLetterError::Nats(format!("no answer within {} s", LOOKS.as_secs())));
            }
            Err(_) => break,
        };
        let of_it = letters.iter().filter(|letter| letter.unit().is_some_and(|named| named.as_str() == unit));
        found.letters.extend(of_it.map(UnitLetter::from));
        match letters.last() {
            Some(last) if letters.len() == AT_ONCE => after = last.number,
            _ => {
                found.more = false;
                break;
            }
        }
    }
    found.letters.reverse();
    Ok(found)
}

impl UnitLetters {
    /// Those that are told in words.
    pub fn told(&self) -> impl Iterator<Item = &UnitLetter> {
        self.letters.iter().take(TOLD)
    }

    /// A line for each of the newest. `taken` is the newest revision that a listing of the unit has taken.
    pub fn words(&self, taken: u64) -> Vec<String> {
        let told = self.told().map(|letter| letter.words(taken));
        let left = self.letters.len().saturating_sub(TOLD);
        let left =
            (left > 0).then(|| format!("Before that, {} of its unit could not be used.", counted(left, "message")));
        let more = "Only the oldest dead letters were looked through: there may be others of its unit.";
        let more = self.more.then(|| more.to_owned());
        told.chain(left).chain(more).collect()
    }
}

impl UnitLetter {
    fn words(&self, taken: u64) -> String {
        let Self { number, revision, since, problem, replay, further } = self;
        let of = match revision {
            Some(revision) => format!("Revision {revision} of its unit"),
            None => "A message of its unit, of which no revision can be read,".to_owned(),
        };
        let since = since.map(|since| format!(" since {}", moment(since))).unwrap_or_default();
        let further =
            if *further > 0 { format!(", and {}", counted(*further, "further problem")) } else { String::new() };
        let problem = problem.as_ref().map(|problem| format!(" ({}{further})", said(problem))).unwrap_or_default();
        let letter = format!("{of} could not be used{problem}, and waits as dead letter {number}{since}");
        match (revision, replay) {
            (Some(revision), _) if *revision <= taken => {
                format!("{letter}; revision {taken} was taken, so that it would change nothing any more.")
            }
            (_, None) => {
                format!("{letter}; it was too large to be kept whole, so its sender has to publish it again.")
            }
            (_, Some(path)) => format!(
                "{letter}. Where the message is wrong, a newer revision that is right helps, and this one can be thrown away \
                 (`distribution dead-letters discard {number}`). Where the service was, it is sent again as it is: \
                 `distribution dead-letters replay {number}`; over HTTP it is `POST {path}`."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(revision: Option<u64>, is_whole: bool) -> UnitLetter {
        let replay = is_whole.then(|| "/api/channels/dead-letters/7/replay".to_owned());
        let problem = Some("unit.name: is missing.".to_owned());
        UnitLetter { number: 7, revision, since: None, problem, replay, further: 1 }
    }

    #[test]
    fn a_letter_is_told_with_what_helps_and_an_older_one_without() {
        let begins = "could not be used (unit.name: is missing, and 1 further problem), and waits as dead letter 7";
        for (letter, whose, ends) in [
            (letter(Some(99), true), "Revision 99 of its unit", "`POST /api/channels/dead-letters/7/replay`."),
            (letter(Some(99), false), "Revision 99 of its unit", "so its sender has to publish it again."),
            (letter(Some(92), true), "Revision 92 of its unit", "so that it would change nothing any more."),
            (letter(None, true), "A message of its unit, of which no revision can be read,", "dead-letters/7/replay`."),
        ] {
            let told = letter.words(92);
            assert!(told.starts_with(&format!("{whose} {begins}")) && told.ends_with(ends), "{told}");
        }
    }

    #[test]
    fn of_many_letters_the_newest_are_told_and_the_others_counted() {
        let letters = UnitLetters { letters: vec![letter(Some(99), true); 5], more: true };
        let told = letters.words(92);
        assert_eq!(told.len(), 5, "{told:#?}");
        assert_eq!(told[3], "Before that, 2 messages of its unit could not be used.");
        assert!(told[4].starts_with("Only the oldest dead letters were looked through"), "{told:#?}");
    }
}
