//! What differs between two states of a listing at its channel, field by field: few enough and short enough to be shown,
//! as JSON and in plain words. Of a text that is long it is what stands around the place where it differs.

pub mod excerpt;
pub mod staying;

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::channel::Section;
use crate::text::cut;
use crate::unit::{Night, NightRange};
use excerpt::excerpts;

/// Fields of one section beyond this are counted, not listed.
pub const MOST_FIELDS: usize = 50;
/// Texts are shown, not archived: of a longer one an excerpt is.
pub const LONGEST_VALUE: usize = 300;
/// The same in words.
const LONGEST_IN_WORDS: usize = 80;
/// A text is kept for whoever wants to see all of it, up to so many characters.
const LONGEST_KEPT: usize = 10_000;
/// So many bytes of values are kept of a section; of further fields there are excerpts alone.
const MOST_KEPT: usize = 200_000;

/// What happened to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is there only afterwards.
    Added,
    /// It is told of only afterwards: the state before left it out, so the channel may have something of it from earlier. In JSON it
    /// is added, too.
    #[serde(rename = "added")]
    Told,
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

/// A field that differs, by the names of the channel. As JSON, long texts in its values are excerpts.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldDifference {
    /// Where it stands, as in a refused part: `listing.cleaningFee`, `calendar[2030-01-01..2030-01-03].price`.
    pub path: String,
    /// What happened to it.
    pub change: Change,
    /// Its value before.
    pub before: Option<Value>,
    /// Its value afterwards.
    pub after: Option<Value>,
    /// The nights that it is about; values are those of each of them.
    pub nights: Option<Nights>,
    /// What an id in the path means.
    pub name: Option<String>,
    /// Why it differs, or why the channel has something else than `before`, where that is known.
    pub reason: Option<String>,
    /// The reason explains it, and sending it again would change nothing.
    pub expected: bool,
    /// Texts in its values are excerpts already: they are longer than is kept.
    pub excerpt: bool,
}

/// A [`FieldDifference`] as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    path: &'a str,
    change: Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
    /// Of a value that is long it is what stands around the place where it differs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    excerpt: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nights: Option<Nights>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    expected: bool,
}

impl Serialize for FieldDifference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [before, after] = shortened(self.before.as_ref(), self.after.as_ref(), LONGEST_VALUE);
        let shown = Shown {
            path: &self.path,
            change: self.change,
            excerpt: self.excerpt || before != self.before || after != self.after,
            before,
            after,
            nights: self.nights,
            name: self.name.as_deref(),
            reason: self.reason.as_deref(),
            expected: self.expected,
        };
        shown.serialize(serializer)
    }
}

impl FieldDifference {
    /// A field with its values. Which of the two is there says what happened.
    pub fn new(path: String, before: Option<Value>, after: Option<Value>) -> Self {
        let change = match (&before, &after) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        };
        Self { path, change, before, after, nights: None, name: None, reason: None, expected: false, excerpt: false }
    }

    /// The same where the state before told nothing of it.
    #[must_use]
    pub fn told_of_now(self) -> Self {
        let change = if self.change == Change::Added { Change::Told } else { self.change };
        Self { change, ..self }
    }

    /// What is kept of it, with texts of up to so many characters.
    fn kept(self, longest: usize) -> Self {
        let [before, after] = shortened(self.before.as_ref(), self.after.as_ref(), longest);
        let excerpt = before != self.before || after != self.after;
        Self { path: cut(&self.path, LONGEST_VALUE), before, after, excerpt, ..self }
    }

    /// How many bytes its values have, about.
    fn length(&self) -> usize {
        [&self.before, &self.after].into_iter().flatten().map(|value| value.to_string().len()).sum()
    }
}

/// Two values of a field, in which long texts are cut: around the place where they differ, where both have one.
fn shortened(before: Option<&Value>, after: Option<&Value>, longest: usize) -> [Option<Value>; 2] {
    let side = |value: Option<&Value>, other: Option<&Value>| value.map(|value| beside(value, other, longest));
    [side(before, after), side(after, before)]
}

/// A value beside another one. It has no deeper structure than a row of fields.
fn beside(value: &Value, other: Option<&Value>, longest: usize) -> Value {
    match (value, other) {
        (Value::String(text), Some(Value::String(other))) if text != other => {
            let [shown, _] = excerpts(text, other, longest);
            shown.to_string().into()
        }
        (Value::String(text), _) => cut(text, longest).into(),
        (Value::Array(values), other) => {
            let others = other.and_then(Value::as_array).filter(|others| others.len() == values.len());
            let other = |place: usize| others.and_then(|others| others.get(place));
            values.iter().enumerate().map(|(place, value)| beside(value, other(place), longest)).collect()
        }
        (Value::Object(row), other) => {
            let other = |field: &String| other.and_then(|other| other.get(field));
            row.iter().map(|(field, value)| (field.clone(), beside(value, other(field), longest))).collect()
        }
        (value, _) => value.clone(),
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
    /// Adds what differs in a section. The first [`MOST_FIELDS`] are kept.
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
        let mut room = MOST_KEPT;
        let kept = |field: FieldDifference| {
            let field = field.kept(if room > 0 { LONGEST_KEPT } else { LONGEST_VALUE });
            room = room.saturating_sub(field.length());
            field
        };
        let fields = fields.into_iter().take(most).map(kept).collect();
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
        let [before, after] = in_words(self.before.as_ref(), self.after.as_ref());
        match self.change {
            Change::Added => write!(f, ": new, {after}"),
            Change::Told => write!(f, ": told of now, {after}"),
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

/// Both sides in words, of which a long one is cut around the place where they differ.
fn in_words(before: Option<&Value>, after: Option<&Value>) -> [String; 2] {
    match (before, after) {
        (Some(Value::String(before)), Some(Value::String(after))) => {
            excerpts(before, after, LONGEST_IN_WORDS).map(|text| Value::from(text.to_string()).to_string())
        }
        (Some(before), Some(after)) if !before.is_null() && !after.is_null() => {
            excerpts(&before.to_string(), &after.to_string(), LONGEST_IN_WORDS).map(|text| text.to_string())
        }
        sides => <[Option<&Value>; 2]>::from(sides).map(|value| match value {
            None | Some(Value::Null) => "nothing".to_owned(),
            Some(value) => cut(&value.to_string(), LONGEST_IN_WORDS),
        }),
    }
}
