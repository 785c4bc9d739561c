//! `completions`: what a shell needs to complete this command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::session::Session;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    distribution completions bash > ~/.local/share/bash-completion/completions/distribution\n  \
    distribution completions fish > ~/.config/fish/completions/distribution.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(&self, session: &Session) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "distribution", &mut script);
        session.out.bytes(&script)
    }
}
