//! What differs between two states of a listing at its channel, field by field: few enough and short enough to be shown,
//! as JSON and in plain words.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::channel::Section;
use crate::text::cut;
use crate::unit::{Night, NightRange};

/// Fields of one section beyond this are counted, not listed.
pub const MOST_FIELDS: usize = 50;
/// Texts are shown, not archived: a longer one is cut.
const LONGEST_VALUE: usize = 300;
/// The same in words.
const LONGEST_IN_WORDS: usize = 80;

/// What happened to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is there only afterwards.
    Added,
    /// It was there only before.
    Removed,
    /// It has another value.
    Changed,
    /// It stands in another place of its list.
    Moved,
}

/// Nights in a row, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Nights {
    /// The first one.
    pub first: Night,
    /// The last one, which belongs to them.
    pub last: Night,
    /// How many.
    pub count: u32,
}

impl From<NightRange> for Nights {
    fn from(range: NightRange) -> Self {
        Self { first: range.first(), last: range.last(), count: range.count() }
    }
}

/// A field that differs, by the names of the channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldDifference {
    /// Where it stands, as in a refused part: `listing.cleaningFee`, `calendar[2030-01-01..2030-01-03].price`.
    pub path: String,
    /// What happened to it.
    pub change: Change,
    /// Its value before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Its value afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// The nights that it is about; values are those of each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nights: Option<Nights>,
    /// What an id in the path means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it differs, or why the channel has something else than `before`, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason explains it, and sending it again would change nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expected: bool,
}

impl FieldDifference {
    /// A field with its values. Which of the two is there says what happened.
    pub fn new(path: String, before: Option<Value>, after: Option<Value>) -> Self {
        let change = match (&before, &after) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        };
        Self { path, change, before, after, nights: None, name: None, reason: None, expected: false }
    }

    fn shortened(self) -> Self {
        let short = |value: Option<Value>| value.map(shortened);
        Self { path: cut(&self.path, LONGEST_VALUE), before: short(self.before), after: short(self.after), ..self }
    }
}

/// Texts in a value, cut where they are long; a value has no deeper structure than a row of fields.
fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) => cut(&text, LONGEST_VALUE).into(),
        Value::Array(values) => values.into_iter().map(shortened).collect(),
        Value::Object(row) => row.into_iter().map(|(field, value)| (field, shortened(value))).collect(),
        other => other,
    }
}

/// The fields of a section that differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SectionDifference {
    /// The section.
    pub section: Section,
    /// How many fields in all.
    pub count: usize,
    /// Those that nothing explains.
    #[serde(skip)]
    pub unexpected: usize,
    /// The first of them.
    pub fields: Vec<FieldDifference>,
}

/// What differs, most urgent section first; a section without a difference is not there.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Differences {
    /// The sections.
    pub sections: Vec<SectionDifference>,
}

impl Differences {
    /// Adds what differs in a section. The first [`MOST_FIELDS`] are kept, and cut where they are long.
    pub fn add(&mut self, section: Section, fields: Vec<FieldDifference>) {
        self.add_up_to(section, fields, MOST_FIELDS);
    }

    /// The same with so many fields.
    pub fn add_up_to(&mut self, section: Section, fields: Vec<FieldDifference>, most: usize) {
        if fields.is_empty() {
            return;
        }
        let count = fields.len();
        let unexpected = fields.iter().filter(|field| !field.expected).count();
        let fields = fields.into_iter().take(most).map(FieldDifference::shortened).collect();
        self.sections.push(SectionDifference { section, count, unexpected, fields });
        self.sections.sort_by_key(|section| section.section);
    }

    /// Says why fields differ, where `why` knows: sending them again would change nothing.
    pub fn explain(&mut self, why: impl Fn(&FieldDifference) -> Option<String>) {
        for section in &mut self.sections {
            for field in section.fields.iter_mut().filter(|field| !field.expected) {
                if let Some(reason) = why(field) {
                    field.reason = Some(reason);
                    field.expected = true;
                    section.unexpected = section.unexpected.saturating_sub(1);
                }
            }
        }
    }

    /// Says more of fields, where `what` knows more: that they differ is not explained by it.
    pub fn remark(&mut self, what: impl Fn(&FieldDifference) -> Option<String>) {
        for field in self.sections.iter_mut().flat_map(|section| &mut section.fields) {
            if field.reason.is_none() {
                field.reason = what(field);
            }
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// How many fields differ.
    pub fn count(&self) -> usize {
        self.sections.iter().map(|section| section.count).sum()
    }

    /// How many of them nothing explains.
    pub fn unexpected(&self) -> usize {
        self.sections.iter().map(|section| section.unexpected).sum()
    }

    /// In plain words, a line for each field.
    pub fn words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for section in &self.sections {
            lines.extend(section.fields.iter().map(|field| format!("{}: {field}", section.section)));
            if let Some(more) = section.count.checked_sub(section.fields.len()).filter(|more| *more > 0) {
                lines.push(format!("{}: {more} more", section.section));
            }
        }
        lines
    }
}

impl fmt::Display for FieldDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(name) = &self.name {
            write!(f, " ({name})")?;
        }
        if let Some(nights) = self.nights.filter(|nights| nights.count > 1) {
            write!(f, ", {} nights", nights.count)?;
        }
        let (before, after) = (in_words(self.before.as_ref()), in_words(self.after.as_ref()));
        match self.change {
            Change::Added => write!(f, ": new, {after}"),
            Change::Removed => write!(f, ": gone, was {before}"),
            Change::Changed => write!(f, ": {before} -> {after}"),
            Change::Moved => write!(f, ": moved, {before} -> {after}"),
        }?;
        if let Some(reason) = &self.reason {
            write!(f, " ({reason})")?;
        }
        Ok(())
    }
}

fn in_words(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(value) => cut(&value.to_string(), LONGEST_IN_WORDS),
    }
}
