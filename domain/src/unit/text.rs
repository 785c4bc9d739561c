//! Texts per locale. A locale is a well-formed BCP 47 tag in canonical spelling; a localized text is never empty and
//! none of its texts is blank.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use icu_locale_core::LanguageIdentifier;

use super::problem::Problems;
use crate::text::quoted;

/// Text that is no BCP 47 language tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a BCP 47 language tag such as en, de-AT or zh-Hant", quoted(.0))]
pub struct InvalidLocale(pub String);

/// A BCP 47 language tag in canonical spelling (`de-AT`, not `de-at`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locale(String);

impl Locale {
    /// The tag in canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Locale {
    type Err = InvalidLocale;

    fn from_str(tag: &str) -> Result<Self, InvalidLocale> {
        let invalid = || InvalidLocale(tag.to_owned());
        let parsed = LanguageIdentifier::try_from_str(tag).map_err(|_| invalid())?;
        // The parser takes `en_US` and languages of up to eight letters: neither is a tag that channels know.
        let usual = !tag.contains('_') && !parsed.language.is_unknown() && parsed.language.as_str().len() <= 3;
        if usual { Ok(Self(parsed.to_string())) } else { Err(invalid()) }
    }
}

/// What one text looks like on the wire: locale to text.
pub(super) type TextWire = BTreeMap<String, String>;

/// One text in one or more languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalizedText(BTreeMap<Locale, String>);

impl LocalizedText {
    /// The text in exactly this locale.
    pub fn get(&self, locale: &Locale) -> Option<&str> {
        self.0.get(locale).map(String::as_str)
    }

    /// The text in this locale or, where there is none, in the first other one by tag.
    pub fn best(&self, locale: &Locale) -> &str {
        self.get(locale).or_else(|| self.0.values().next().map(String::as_str)).unwrap_or_default()
    }

    /// Every locale with its text, by tag.
    pub fn iter(&self) -> impl Iterator<Item = (&Locale, &str)> {
        self.0.iter().map(|(locale, text)| (locale, text.as_str()))
    }

    /// A text that must say something in each of its locales.
    pub(super) fn check(wire: TextWire, field: &str, problems: &mut Problems) -> Option<Self> {
        if wire.is_empty() {
            problems.add(field, "has no text; give at least one, such as {\"en\": \"...\"}");
            return None;
        }
        let mut texts = BTreeMap::new();
        for (tag, text) in wire {
            if text.trim().is_empty() {
                problems.add(format!("{field}.{tag}"), "is blank; give a text or leave the locale out");
            }
            insert(&mut texts, &tag, text, field, problems);
        }
        Some(Self(texts)).filter(|text| !text.0.is_empty())
    }

    /// A text that must exist in the unit's default locale as well.
    pub(super) fn check_with_default(
        wire: TextWire,
        default: Option<&Locale>,
        field: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        let text = Self::check(wire, field, problems)?;
        if let Some(locale) = default.filter(|locale| text.get(locale).is_none()) {
            problems.add(format!("{field}.{locale}"), "is missing; the default locale needs a text");
        }
        Some(text)
    }

    /// A text that may be missing: blank texts count as missing.
    pub(super) fn check_optional(wire: TextWire, field: impl Fn() -> String, problems: &mut Problems) -> Option<Self> {
        let mut texts = BTreeMap::new();
        for (tag, text) in wire.into_iter().filter(|(_, text)| !text.trim().is_empty()) {
            insert(&mut texts, &tag, text, &field(), problems);
        }
        Some(Self(texts)).filter(|text| !text.0.is_empty())
    }
}

fn insert(texts: &mut BTreeMap<Locale, String>, tag: &str, text: String, field: &str, problems: &mut Problems) {
    match tag.parse::<Locale>() {
        Ok(locale) => {
            if texts.insert(locale, text).is_some() {
                problems.add(format!("{field}.{tag}"), "names a locale that stands there twice in other spelling");
            }
        }
        Err(error) => problems.add(format!("{field}.{tag}"), error.to_string()),
    }
}
