//! Words of a command line as anybody may type them, for the fuzz target `arguments`. No part of the program.

use std::cell::RefCell;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::{Cli, failure};

thread_local! {
    // Made once: to build all commands takes longer than to parse.
    static COMMAND: RefCell<clap::Command> = RefCell::new(Cli::command());
}

/// Words, one a line.
pub fn arguments(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let words = std::iter::once("distribution").chain(text.split('\n'));
    let matches = COMMAND.with_borrow_mut(|command| command.try_get_matches_from_mut(words));
    let parsed = matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    if let Err(error) = parsed {
        assert!(!error.render().to_string().trim().is_empty());
        let argument = failure::argument(&error);
        assert!(argument.is_none_or(|name| !name.contains('-')), "fields are in snake case");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn whatever_comes_goes_through() {
        crate::variations::each("arguments", super::arguments);
    }
}
