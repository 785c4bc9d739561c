//! Answers on stdout: tables and lines for people, JSON for machines. A reader that goes away ends the command.

use std::io::{IsTerminal, Write};

use comfy_table::presets::{NOTHING, UTF8_FULL_CONDENSED};
use comfy_table::{Color, ContentArrangement, Table};
use serde::Serialize;

pub(super) use comfy_table::Cell;
use domain::text::steady;

use super::failure::Failure;
use super::format::Format;

/// Stdout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    format: Format,
    terminal: bool,
    colours: bool,
}

impl Out {
    pub(super) fn new(format: Format) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { format, terminal, colours: terminal && std::env::var_os("NO_COLOR").is_none() }
    }

    pub(super) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Text that no terminal obeys, and a line's end.
    pub(super) fn line(self, text: &str) -> anyhow::Result<()> {
        self.as_it_is(&steady(text))
    }

    fn as_it_is(self, text: &str) -> anyhow::Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Bytes as they are.
    pub(super) fn bytes(self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::ReaderGone.into(),
            _ => anyhow::Error::new(error).context("failed to write to stdout"),
        })
    }

    /// A JSON document.
    pub(super) fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        self.as_it_is(&serde_json::to_string_pretty(value)?)
    }

    /// A JSON document on one line, for streams of them.
    pub(super) fn json_line(self, value: &impl Serialize) -> anyhow::Result<()> {
        self.as_it_is(&serde_json::to_string(value)?)
    }

    /// A table. Without rows it says `none` on stderr, so that a pipe stays empty.
    pub(super) fn table(self, header: &[&str], rows: Vec<Vec<Cell>>, none: &str) -> anyhow::Result<()> {
        if rows.is_empty() {
            note(none);
            return Ok(());
        }
        let mut table = Table::new();
        if self.terminal {
            table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        }
        if !self.colours {
            table.force_no_tty();
            if let (true, Some(width)) = (self.terminal, Table::new().width()) {
                table.set_width(width);
            }
        }
        table.set_header(header.iter().map(|title| title.to_uppercase()).collect::<Vec<_>>());
        table.add_rows(rows);
        let padding = if self.terminal { "" } else { " " };
        let bare = |line: String| line.strip_prefix(padding).unwrap_or(&line).trim_end().to_owned();
        let lines: Vec<String> = table.lines().map(bare).collect();
        // Its colours are ours; the cells are steady.
        self.as_it_is(&lines.join("\n"))
    }

    /// One thing, field by field; empty values are left out.
    pub(super) fn record(self, fields: &[(&str, String)]) -> anyhow::Result<()> {
        let shown: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).collect();
        let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines: Vec<String> = shown.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
        self.line(&lines.join("\n"))
    }
}

/// A remark for people, on stderr.
pub(super) fn note(text: &str) {
    // Nothing depends on its being read.
    let _ = writeln!(std::io::stderr(), "{}", steady(text));
}

/// A cell.
#[expect(clippy::needless_pass_by_value, reason = "most cells are made of what is there for them alone")]
pub(super) fn text(value: impl ToString) -> Cell {
    Cell::new(steady(&value.to_string()))
}

/// A cell that may be empty.
pub(super) fn optional(value: Option<impl ToString>) -> Cell {
    Cell::new(value.map_or_else(|| "-".to_owned(), |value| steady(&value.to_string())))
}

/// A cell with a state in words, in the colour of how good it is.
pub(super) fn state(word: &str) -> Cell {
    let cell = Cell::new(words(word));
    match word {
        "active" | "healthy" | "accepted" | "ok" | "linked" | "yes" => cell.fg(Color::Green),
        "paused"
        | "degraded"
        | "accepted_with_rejections"
        | "warn"
        | "held"
        | "transient"
        | "throttled"
        | "stopped" => cell.fg(Color::Yellow),
        "unreachable" | "unauthorised" | "needs_credentials" | "rejected" | "exhausted" | "FAIL" | "error" | "NO" => {
            cell.fg(Color::Red)
        }
        _ => cell,
    }
}

/// A state in words for people.
pub(super) fn words(state: &str) -> String {
    state.replace('_', " ")
}
