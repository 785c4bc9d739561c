//! What people type into the filters of a list. Each field is read by itself: what cannot be used stays where it was typed, and beside
//! it stands what is wrong with it and what would be right.

pub(super) mod targets;

use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, Utc};
use maud::{Markup, html};

use super::pieces::{empty, options};
use crate::api::input;

/// What a time is. Pages show those of the viewer's zone, which the server does not know.
const NO_TIME: &str = "is no time: give one in UTC, such as 2026-11-28 13:00, 2026-11-28T13:00:00Z or 2026-11-28. \
    Whoever points at a time of a page sees it in UTC";

/// What was typed, where it was.
pub(super) fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// What cannot be used, by the names of the fields.
#[derive(Debug, Default)]
pub(super) struct Misread(Vec<(&'static str, String)>);

impl Misread {
    /// What a field says; nothing where that cannot be used.
    pub(super) fn take<T>(&mut self, field: &'static str, read: Result<T, String>) -> Option<T> {
        read.map_err(|why| self.0.push((field, why))).ok()
    }

    /// The same of a field that may be empty.
    pub(super) fn read<T>(
        &mut self,
        field: &'static str,
        text: &Option<String>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        given(text).and_then(|text| self.take(field, read(text)))
    }

    /// Whether all can be used.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Instead of the list.
    pub(super) fn instead() -> Markup {
        empty("Nothing is listed", "What is marked above cannot be used.")
    }

    /// The page, with the status that says so, too.
    pub(super) fn marked(&self, mut page: Response) -> Response {
        if !self.is_empty() {
            *page.status_mut() = StatusCode::BAD_REQUEST;
        }
        page
    }

    fn why(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, why)| why.as_str())
    }

    /// A field with what is wrong with it.
    fn beside(&self, field: &str, label: &Markup) -> Markup {
        let Some(why) = self.why(field) else { return label.clone() };
        html! { div.field { (label) p.wrong #(wrong(field)) { (why) } } }
    }

    /// A field for a text; `shape` is its size, and what may stand in it.
    pub(super) fn text(&self, field: &str, label: &str, value: &Option<String>, shape: (&str, Option<&str>)) -> Markup {
        self.input(field, label, given(value), shape, None)
    }

    /// A field for a target, which offers those that there are where they are few.
    pub(super) fn target(&self, value: &Option<String>, offered: &[targets::Offered]) -> Markup {
        let list = (!offered.is_empty()).then_some("targets-offered");
        html! {
            (self.input("target_id", "Target", given(value), ("24", Some("its name or id")), list))
            @if let Some(list) = list { datalist #(list) {
                @for target in offered { option value=(target.value) { (target.name) } }
            } }
        }
    }

    fn input(
        &self,
        field: &str,
        label: &str,
        value: Option<&str>,
        (size, placeholder): (&str, Option<&str>),
        list: Option<&str>,
    ) -> Markup {
        let wrong = self.why(field).map(|_| wrong(field));
        let label = html! { label { (label) " "
            input name=(field) value=[value] size=(size) placeholder=[placeholder] list=[list]
                aria-invalid=[wrong.as_ref().map(|_| "true")] aria-describedby=[wrong];
        } };
        self.beside(field, &label)
    }

    /// A field for one of these.
    pub(super) fn choice(
        &self,
        field: &str,
        label: &str,
        value: &Option<String>,
        (choices, any): (&[&str], &str),
    ) -> Markup {
        let wrong = self.why(field).map(|_| wrong(field));
        let label = html! { label { (label) " "
            select name=(field) aria-invalid=[wrong.as_ref().map(|_| "true")] aria-describedby=[wrong] {
                (options(choices, given(value), any))
            }
        } };
        self.beside(field, &label)
    }
}

fn wrong(field: &str) -> String {
    format!("{field}-wrong")
}

/// One of these.
pub(super) fn one_of(text: &str, known: &[&str]) -> Result<String, String> {
    input::one_of("", Some(text), known).map(|()| text.to_owned()).map_err(|problem| problem.detail)
}

/// A time as people write one; without a zone it is UTC.
pub(super) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let with_zone = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    let read = with_zone.or_else(|| without_zone(text));
    // The database has an end.
    read.filter(|time| (0..=9999).contains(&time.year())).ok_or_else(|| NO_TIME.to_owned())
}

fn without_zone(text: &str) -> Option<DateTime<Utc>> {
    let plain = text.trim_end_matches(" UTC").trim_end_matches('Z').replacen('T', " ", 1);
    let at = |form: &str| NaiveDateTime::parse_from_str(&plain, form).ok();
    let day = || NaiveDate::parse_from_str(&plain, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    let read = at("%Y-%m-%d %H:%M:%S%.f").or_else(|| at("%Y-%m-%d %H:%M")).or_else(day);
    read.map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them_and_are_utc() {
        let read = |text: &str| time(text).map(|time| time.to_rfc3339());
        let one = Ok("2026-11-28T13:00:00+00:00".to_owned());
        for text in [
            "2026-11-28T13:00:00Z",
            "2026-11-28T21:00:00+08:00",
            "2026-11-28 13:00:00",
            "2026-11-28T13:00",
            "2026-11-28 13:00",
            "2026-11-28 13:00Z",
            "2026-11-28 13:00:00.000 UTC",
        ] {
            assert_eq!(read(text), one, "{text}");
        }
        assert_eq!(read("2026-11-28"), Ok("2026-11-28T00:00:00+00:00".to_owned()));
        for text in ["29 Nov 12:00", "13:00", "2026-13-01", "2026-11-28 25:00", "+12026-11-28", "yesterday"] {
            assert!(read(text).is_err_and(|why| why.contains("in UTC")), "{text}");
        }
    }
}
