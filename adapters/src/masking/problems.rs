//! What is wrong with a message, in words that may quote it: they are shown, logged and kept, and go through the same rules as its body.

use domain::unit::Problem;
use serde_json::Value;

use super::{MASK, is_private, masked};

/// What is wrong with a message, without what looks like a secret or a guest's. There is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedProblems(Vec<Problem>);

impl From<Vec<Problem>> for MaskedProblems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems.iter().map(without_what_is_private).collect())
    }
}

impl MaskedProblems {
    /// One after the other.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl From<MaskedProblems> for Vec<Problem> {
    fn from(problems: MaskedProblems) -> Self {
        problems.0
    }
}

/// Where the field is a guest's or a secret, nothing that is quoted stays.
fn without_what_is_private(problem: &Problem) -> Problem {
    let quotes_what_is_private =
        problem.field.split(['.', '[']).any(|name| is_private(name, &Value::String(String::new())));
    let reason = match problem.reason.split_once('"') {
        Some((before, _)) if quotes_what_is_private => format!("{}{MASK}", masked(before)),
        _ => masked(&problem.reason),
    };
    Problem { field: masked(&problem.field), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(field: &str, reason: &str) -> String {
        let problem = Problem { field: field.to_owned(), reason: reason.to_owned() };
        MaskedProblems::from(vec![problem]).as_slice()[0].to_string()
    }

    #[test]
    fn what_is_wrong_with_a_message_goes_through_the_rules_of_its_body() {
        let room = told("unit.room_type", "\"Bearer abcdef0123456789\" is not known; use one of entire_home");
        assert_eq!(room, "unit.room_type: \"Bearer •••\" is not known; use one of entire_home");
        let locale = told("unit.name.anna@example.com", "\"anna@example.com\" is not a BCP 47 language tag");
        assert_eq!(locale, "•••: \"•••\" is not a BCP 47 language tag");
        // As older builds wrote it.
        let guests = told("unit.capacity.guests", "\"guest Annabel\" is not of type \"integer\"");
        assert_eq!(guests, "unit.capacity.guests: •••");
        let guests = told("unit.capacity.guests", "invalid type: string \"guest Annabel\", expected a whole number");
        assert_eq!(guests, "unit.capacity.guests: invalid type: string •••");
        let number = told("unit.capacity.guests", "is 0; it must lie between 1 and 500");
        assert_eq!(number, "unit.capacity.guests: is 0; it must lie between 1 and 500");
    }
}
