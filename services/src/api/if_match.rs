//! Changing only what was read (RFC 9110, 13.1.1): a change that names ETags in `If-Match` is made where one of them is of the
//! version that there is.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use utoipa::IntoParams;

use super::answer::version_of;
use super::conditional::LONGEST_ETAGS;
use super::problem::Problem;

/// `If-Match` as the document describes it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a description alone")]
pub(super) struct IfMatchHeader {
    /// ETags that were read, such as "3"; 412 if none of them is of the version that there is. * is any
    #[param(rename = "if-match", example = "*")]
    if_match: Option<String>,
}

/// The versions that a change is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Whichever there is.
    Any,
    /// One of these. There is none where every ETag is weak, or not of this service.
    OneOf(Vec<i64>),
}

impl IfMatch {
    /// Whether the change is meant for the version that was found: then it is the one that the command has to find, too.
    pub(crate) fn at(&self, found: i64) -> Result<Option<i64>, Problem> {
        match self {
            Self::Any => Ok(None),
            Self::OneOf(versions) if versions.contains(&found) => Ok(Some(found)),
            Self::OneOf(_) => Err(Problem::moved(found)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(list) = list(&parts.headers) else { return Ok(Self::Any) };
        let read = read(&list).filter(|_| list.len() <= LONGEST_ETAGS);
        let reason = "give back ETags as they came, such as \"3\", with commas between them, or *";
        read.ok_or_else(|| Problem::field("If-Match", reason))
    }
}

/// The whole header: several lines are one list (RFC 9110, 5.3).
pub(super) fn list(headers: &HeaderMap) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers.get_all(header::IF_MATCH).iter().map(HeaderValue::as_bytes).collect();
    (!lines.is_empty()).then(|| lines.join(&b','))
}

/// `*`, or entity tags with commas between them, of which some may have nothing between them (RFC 9110, 5.6.1.2).
fn read(list: &[u8]) -> Option<IfMatch> {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return Some(IfMatch::Any);
    }
    let (mut versions, mut tags) = (Vec::new(), 0);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after.trim_ascii_start();
            continue;
        }
        let (tag, after) = first_tag(rest)?;
        rest = after.trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b",") {
            return None;
        }
        // A weak one equals nothing here (RFC 9110, 8.8.3.2).
        versions.extend(tag.and_then(version_of));
        tags += 1;
    }
    (tags > 0).then_some(IfMatch::OneOf(versions))
}

/// What stands in the quotes of the entity tag at the beginning, where it is a strong one, and what follows it. A comma may be a
/// part of it.
fn first_tag(text: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let quoted = text.strip_prefix(b"W/").unwrap_or(text);
    let opened = quoted.strip_prefix(b"\"")?;
    let (opaque, closed) = opened.split_at(opened.iter().position(|byte| *byte == b'"')?);
    let fits = opaque.iter().all(|byte| matches!(*byte, 0x21..=0x7e | 0x80..=0xff));
    let is_strong = quoted.len() == text.len();
    fits.then_some((is_strong.then_some(opaque), &closed[1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{IfMatch, read};

    #[test]
    fn a_list_of_entity_tags_names_the_versions_of_its_strong_ones() {
        let print = "0123456789abcdef";
        for (list, versions) in [
            ("\"3\"".to_owned(), vec![3]),
            (format!("\"3.{print}\""), vec![3]),
            ("\"3\",\"4\" , \"5\"".to_owned(), vec![3, 4, 5]),
            (", ,\"3\",,\t\"4\",".to_owned(), vec![3, 4]),
            ("W/\"3\"".to_owned(), vec![]),
            ("W/\"3\", \"4\"".to_owned(), vec![4]),
            // Tags that are none of ours are tags all the same.
            ("\"abc\", \"\", \"a,b\", \"*\"".to_owned(), vec![]),
            ("\"3.0123\", \"+3\", \"03\", \"-3\", \"3.\"".to_owned(), vec![]),
            (format!("\"3.{}\"", print.to_uppercase()), vec![]),
            ("\"99999999999999999999\"".to_owned(), vec![]),
        ] {
            assert_eq!(read(list.as_bytes()), Some(IfMatch::OneOf(versions)), "{list}");
        }
        assert_eq!(read(b"\"\xfc\", \"3\""), Some(IfMatch::OneOf(vec![3])));
        assert_eq!(read(b" * "), Some(IfMatch::Any));
    }

    #[test]
    fn what_is_no_list_of_entity_tags_cannot_be_read() {
        for list in [
            "",
            " ",
            ",",
            ", ,",
            "3",
            "\"3",
            "3\"",
            "\"",
            "w/\"3\"",
            "W\"3\"",
            "W/3",
            "W/",
            "\"3\" \"4\"",
            "\"3\"\"4\"",
            "\"3\";",
            "\"3 4\"",
            "\"3\t\"",
            "*, \"3\"",
            "\"3\", *",
            "**",
            "*,*",
        ] {
            assert_eq!(read(list.as_bytes()), None, "{list:?}");
        }
    }

    #[test]
    fn a_change_is_for_the_version_that_there_is_or_for_none() {
        assert_eq!(IfMatch::Any.at(7), Ok(None));
        assert_eq!(IfMatch::OneOf(vec![3, 7]).at(7), Ok(Some(7)));
        for other in [vec![], vec![3], vec![3, 8]] {
            let refused = IfMatch::OneOf(other).at(7).expect_err("it is none of them");
            assert_eq!((refused.status, refused.version), (412, Some(7)));
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_between_tags_they_are_found(
            tags in prop::collection::vec((any::<bool>(), 0_i64..=i64::MAX), 1..20),
            between in prop::sample::select(vec![",", ", ", " ,\t", ",,", " , , "]),
            around in prop::sample::select(vec!["", " ", ",", " ,, "]),
        ) {
            let told = tags.iter().map(|(weak, version)| format!("{}\"{version}\"", if *weak { "W/" } else { "" }));
            let list = format!("{around}{}{around}", told.collect::<Vec<_>>().join(between));
            let strong = tags.iter().filter(|(weak, _)| !weak).map(|(_, version)| *version).collect();
            prop_assert_eq!(read(list.as_bytes()), Some(IfMatch::OneOf(strong)));
        }

        #[test]
        fn whatever_comes_is_refused_or_read_as_what_stands_in_it(
            list in prop::collection::vec(
                prop_oneof![any::<u8>(), prop::sample::select(b"\"\"\"W/*,37. ".to_vec())],
                0..40,
            ),
        ) {
            match read(&list) {
                Some(IfMatch::Any) => prop_assert_eq!(list.trim_ascii(), &b"*"[..]),
                Some(IfMatch::OneOf(versions)) => {
                    for version in versions {
                        let told = format!("\"{version}");
                        prop_assert!(list.windows(told.len()).any(|part| part == told.as_bytes()), "{version}");
                    }
                }
                None => prop_assert!(list.trim_ascii() != b"*"),
            }
        }
    }
}
