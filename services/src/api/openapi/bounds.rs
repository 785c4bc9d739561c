//! What values may be, told in the document by the constants that the code holds them to. A name without a row is told as it
//! is; `tests/tidy/bounds.rs` sees to it that nothing which a request gives is without one.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use domain::access::{AccessRole, CredentialKind, Permission};
use domain::call::CallPurpose;
use domain::channel::{ChannelKind, Section};
use domain::hash::SHA256_PATTERN;
use domain::ids::{LONGEST_NAME as LONGEST_ID, NAME_PATTERN, TRACE_ID_DIGITS, TRACE_ID_PATTERN};
use domain::listing::LinkState;
use domain::metadata::LONGEST_SOURCE;
use domain::retry::RetryPolicy;
use domain::secret::VALUE_PATTERN;
use domain::target::bounds::{
    BASE_URL_PATTERN, CHANNEL_ACCOUNT_PATTERN, LONGEST_BASE_URL, LONGEST_CHANNEL_ACCOUNT, LONGEST_NAME,
};
use domain::target::{Health, Lifecycle};
use domain::text::{LINE_PATTERN, LONGEST_LINE, TRACEPARENT_PATTERN};
use domain::window::{LIMIT_PATTERN, LONGEST_LIMIT, REQUESTS, Scope, WINDOW_MS};
use serde_json::Value;
use utoipa::Number;
use utoipa::openapi::path::{Parameter, PathItem};
use utoipa::openapi::schema::{ArrayItems, Object, Schema, SchemaType, Type};
use utoipa::openapi::{OpenApi as Document, RefOr};

use crate::api::conditional::{ETAGS_PATTERN, LONGEST_ETAGS};
use crate::api::freshness::FIRST_POSITION;
use crate::api::page::{CURSOR_PATTERN, DEFAULT_LIMIT, LIMITS, LONGEST_CURSOR};
use crate::api::problem::ProblemKind;
use crate::api::vault::LONGEST_SECRET;
use crate::views::audit::{CAUSES, asked_outcomes, call_classes, classes, outcomes};
use crate::views::queue::{HOLDS, STATUSES};
use crate::views::{listings, targets, visits};

/// Every status of HTTP, and those of a problem.
const STATUS: RangeInclusive<i64> = 100..=599;
const REFUSED: RangeInclusive<i64> = 400..=599;
const REFUSED_BY_CHANNEL: RangeInclusive<i64> = 400..=499;
/// A SHA-256 in hexadecimal.
const DIGITS: usize = 64;

/// What a value may be.
#[derive(Debug, Clone)]
enum Bound {
    From(i64),
    Within(RangeInclusive<i64>),
    /// Characters, from the fewest to the most, and a regular expression.
    Text(RangeInclusive<usize>, String),
    OneOf(Vec<&'static str>),
}

/// What a row is about: a parameter of this path, parameters of its name, the property of this schema, or that of every schema
/// without a row of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    At(&'static str),
    Parameter,
    Of(&'static str),
    Everywhere,
}

type Row = (Place, &'static [&'static str], Bound);

fn text(most: usize, pattern: &str) -> Bound {
    Bound::Text(1..=most, pattern.to_owned())
}

fn wide(range: &RangeInclusive<u32>) -> Bound {
    Bound::Within(i64::from(*range.start())..=i64::from(*range.end()))
}

fn name() -> Bound {
    text(LONGEST_ID, NAME_PATTERN)
}

fn sha256() -> Bound {
    Bound::Text(DIGITS..=DIGITS, SHA256_PATTERN.to_owned())
}

fn health() -> Bound {
    Bound::OneOf(Health::ALL.map(Health::as_str).to_vec())
}

fn outcome() -> Bound {
    Bound::OneOf(outcomes().to_vec())
}

fn class() -> Bound {
    Bound::OneOf(classes().to_vec())
}

fn sends() -> Bound {
    Bound::OneOf(targets::states().to_vec())
}

fn section() -> Bound {
    Bound::OneOf(Section::ALL.map(Section::as_str).to_vec())
}

fn listed() -> Bound {
    Bound::OneOf(listings::states().to_vec())
}

fn parameter_rows() -> Vec<Row> {
    use Place::{At, Parameter};
    vec![
        (Parameter, &["limit"], Bound::Within(LIMITS)),
        (Parameter, &["cursor"], text(LONGEST_CURSOR, CURSOR_PATTERN)),
        (Parameter, &["account_id", "unit_id"], name()),
        (Parameter, &["health"], health()),
        (At("/api/channels/targets"), &["state"], sends()),
        (At("/api/channels/listings"), &["state"], listed()),
        (Parameter, &["outcome"], Bound::OneOf(asked_outcomes())),
        (Parameter, &["class"], class()),
        (Parameter, &["cause"], Bound::OneOf(CAUSES.to_vec())),
        (Parameter, &["trace_id"], Bound::Text(TRACE_ID_DIGITS..=TRACE_ID_DIGITS, TRACE_ID_PATTERN.to_owned())),
        (Parameter, &["snapshot"], sha256()),
        (Parameter, &["position"], Bound::From(FIRST_POSITION)),
        (Parameter, &["if-match", "if-none-match"], text(LONGEST_ETAGS, ETAGS_PATTERN)),
    ]
}

fn field_rows() -> Vec<Row> {
    use Place::{Everywhere, Of};
    let reason = || text(LONGEST_LINE, LINE_PATTERN);
    let secret = || text(LONGEST_SECRET, VALUE_PATTERN);
    let limit = || text(LONGEST_LIMIT, LIMIT_PATTERN);
    let kinds = || CredentialKind::ALL.map(CredentialKind::as_str);
    let credential = || Bound::OneOf([&["cli", "service"][..], &kinds()].concat());
    let attempts = i64::from(RetryPolicy::default().max_attempts);
    let of_call = || Bound::OneOf(call_classes());
    vec![
        (Of("CreateTarget"), &["name"], text(LONGEST_NAME, LINE_PATTERN)),
        (Of("CreateTarget"), &["secret"], secret()),
        (Of("ConfigureTarget"), &["name"], text(LONGEST_NAME, LINE_PATTERN)),
        (Of("ConfigureTarget"), &["account_rate_limit"], text(LONGEST_LIMIT, &format!("^none$|{LIMIT_PATTERN}"))),
        (Of("RotateCredential"), &["secret"], secret()),
        (Of("Reason"), &["reason"], reason()),
        (Of("Retry"), &["reason"], reason()),
        (Of("Retry"), &["position"], Bound::From(FIRST_POSITION)),
        (Of("LinkListing"), &["external_id"], text(ChannelKind::LONGEST_EXTERNAL_ID, ChannelKind::EXTERNAL_ID_PATTERN)),
        (Of("ListingState"), &["state"], Bound::OneOf(LinkState::ALL.map(LinkState::as_str).to_vec())),
        (Of("Listing"), &["state"], listed()),
        (Of("About"), &["state"], listed()),
        (Of("Target"), &["state"], sends()),
        (Of("QueuedSync"), &["status"], Bound::OneOf(STATUSES.to_vec())),
        (Of("QueuedSync"), &["held_by"], Bound::OneOf(HOLDS.to_vec())),
        (Of("QueuedSync"), &["attempt"], Bound::Within(1..=attempts)),
        (Of("Waiting"), &["status"], Bound::OneOf(STATUSES.to_vec())),
        (Of("Rule"), &["of"], Bound::Within(1..=attempts)),
        (Of("WindowUse"), &["window"], wide(&REQUESTS)),
        (Of("WindowUse"), &["window_ms"], wide(&WINDOW_MS)),
        (Of("ScopeWindow"), &["scope"], Bound::OneOf(Scope::KINDS.to_vec())),
        (Of("ScopeWindow"), &["requests"], wide(&REQUESTS)),
        (Of("ScopeWindow"), &["window_ms"], wide(&WINDOW_MS)),
        (Of("Me"), &["credential"], Bound::OneOf(kinds().to_vec())),
        (Of("Me"), &["roles"], Bound::OneOf(AccessRole::ALL.map(AccessRole::as_str).to_vec())),
        (Of("Me"), &["permissions"], Bound::OneOf(Permission::ALL.map(Permission::as_str).to_vec())),
        (Of("Sync"), &["credential"], credential()),
        (Of("Who"), &["credential"], credential()),
        (Of("Event"), &["credential"], credential()),
        (Of("HealthCheck"), &["credential"], credential()),
        (Of("Drift"), &["credential"], credential()),
        (Of("Visit"), &["credential"], credential()),
        (Of("Visit"), &["kind"], Bound::OneOf(visits::kinds())),
        (Of("Who"), &["source"], text(LONGEST_SOURCE, LINE_PATTERN)),
        (Of("Decided"), &["decision"], Bound::OneOf(vec!["replayed", "discarded"])),
        (Of("Problem"), &["type"], Bound::OneOf(ProblemKind::ALL.map(ProblemKind::name).to_vec())),
        (Of("Problem"), &["status"], Bound::Within(REFUSED)),
        (Of("Call"), &["status"], Bound::Within(STATUS)),
        (Of("ExplainedCall"), &["status"], Bound::Within(STATUS)),
        (Of("HealthCheck"), &["status"], Bound::Within(STATUS)),
        (Of("Call"), &["class"], of_call()),
        (Of("ExplainedCall"), &["class"], of_call()),
        (Of("HealthCheck"), &["class"], of_call()),
        (Of("Visit"), &["class"], of_call()),
        (Of("RefusedSection"), &["status"], Bound::Within(REFUSED_BY_CHANNEL)),
        (Of("RefusedSection"), &["section"], section()),
        (Everywhere, &["org_id", "account_id", "account_ids", "unit_id"], name()),
        (Everywhere, &["snapshot", "snapshots", "accepted_snapshot", "idempotency_key", "body_sha256"], sha256()),
        (Everywhere, &["channel"], Bound::OneOf(ChannelKind::ALL.map(ChannelKind::as_str).to_vec())),
        (Everywhere, &["base_url"], text(LONGEST_BASE_URL, BASE_URL_PATTERN)),
        (Everywhere, &["channel_account"], text(LONGEST_CHANNEL_ACCOUNT, CHANNEL_ACCOUNT_PATTERN)),
        (Everywhere, &["rate_limit", "account_rate_limit"], limit()),
        (Everywhere, &["lifecycle"], Bound::OneOf(Lifecycle::ALL.map(Lifecycle::as_str).to_vec())),
        (Everywhere, &["health", "from_health", "to_health"], health()),
        (Everywhere, &["outcome", "last_outcome"], outcome()),
        (Everywhere, &["last_success_of", "last_failure_of"], Bound::OneOf(vec!["check", "sync"])),
        (Everywhere, &["cause"], Bound::OneOf(CAUSES.to_vec())),
        (Everywhere, &["class"], class()),
        (Everywhere, &["purpose"], Bound::OneOf(CallPurpose::ALL.map(CallPurpose::as_str).to_vec())),
        (
            Everywhere,
            &["needs", "sections", "took", "took_in_part", "sent_meanwhile", "parts_of", "in_doubt"],
            section(),
        ),
        (Everywhere, &["traceparent"], Bound::Text(55..=55, TRACEPARENT_PATTERN.to_owned())),
    ]
}

/// Tells them. Gives the rows that are about nothing in the document.
pub(super) fn tell(document: &mut Document) -> BTreeSet<String> {
    let rows: Vec<Row> = parameter_rows().into_iter().chain(field_rows()).collect();
    let mut used = BTreeSet::new();
    let mut find = |places: &[Place], name: &str| {
        places.iter().find_map(|place| {
            let row = rows.iter().find(|(at, names, _)| at == place && names.contains(&name))?;
            used.insert((*place, name.to_owned()));
            Some(row.2.clone())
        })
    };
    for (path, item) in &mut document.paths.paths {
        let own = rows.iter().map(|(place, ..)| *place).find(|place| matches!(place, Place::At(at) if at == path));
        let places: Vec<Place> = own.into_iter().chain([Place::Parameter]).collect();
        for parameter in parameters(item) {
            let Some(bound) = find(&places, &parameter.name) else { continue };
            if let Some(schema) = &mut parameter.schema {
                each(schema, &mut |value| value.bind(&bound));
                if parameter.name == "limit" {
                    each(schema, &mut |value| value.default = Some(DEFAULT_LIMIT.into()));
                }
            }
        }
    }
    let schemas = document.components.iter_mut().flat_map(|components| components.schemas.iter_mut());
    for (owner, schema) in schemas {
        // The rows of a page are told in place.
        let owner = owner.strip_prefix("Page_").unwrap_or(owner);
        let own = rows.iter().map(|(place, ..)| *place).find(|place| matches!(place, Place::Of(of) if *of == owner));
        let places: Vec<Place> = own.into_iter().chain([Place::Everywhere]).collect();
        objects(schema, &mut |object| {
            for (name, property) in &mut object.properties {
                if let Some(bound) = find(&places, name) {
                    each(property, &mut |value| value.bind(&bound));
                }
                // No number of ours is less than nothing.
                each(property, &mut Object::not_negative);
            }
        });
    }
    let of_row = |(place, names, _): &Row| names.iter().map(|name| (*place, (*name).to_owned())).collect::<Vec<_>>();
    rows.iter().flat_map(of_row).filter(|row| !used.contains(row)).map(|row| format!("{row:?}")).collect()
}

fn parameters(item: &mut PathItem) -> impl Iterator<Item = &mut Parameter> {
    let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
    let parameters = operations.into_iter().flatten().flat_map(|operation| &mut operation.parameters).flatten();
    parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

/// The objects with properties that a schema is made of.
fn objects(schema: &mut RefOr<Schema>, tell: &mut impl FnMut(&mut Object)) {
    match schema {
        RefOr::T(Schema::Object(object)) => tell(object),
        RefOr::T(Schema::OneOf(one)) => one.items.iter_mut().for_each(|item| objects(item, tell)),
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(|item| objects(item, tell)),
        _ => {}
    }
    if let RefOr::T(Schema::Object(object)) = schema {
        for property in object.properties.values_mut() {
            if let RefOr::T(Schema::Array(array)) = property
                && let ArrayItems::RefOrSchema(items) = &mut array.items
            {
                objects(items, tell);
            }
        }
    }
}

/// The values that a property can be: itself, or each of a list.
fn each(schema: &mut RefOr<Schema>, tell: &mut impl FnMut(&mut Object)) {
    match schema {
        RefOr::T(Schema::Object(value)) => tell(value),
        RefOr::T(Schema::OneOf(one)) => one.items.iter_mut().for_each(|item| each(item, tell)),
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                each(items, tell);
            }
        }
        _ => {}
    }
}

trait Bounded {
    fn bind(&mut self, bound: &Bound);
    fn not_negative(&mut self);
    fn is(&self, kind: &Type) -> bool;
}

impl Bounded for Object {
    fn bind(&mut self, bound: &Bound) {
        let number = |number: i64| Some(Number::Int(isize::try_from(number).unwrap_or(isize::MAX)));
        match bound {
            Bound::From(least) => self.minimum = number(*least),
            Bound::Within(range) => (self.minimum, self.maximum) = (number(*range.start()), number(*range.end())),
            Bound::Text(length, pattern) => {
                (self.min_length, self.max_length) = (Some(*length.start()), Some(*length.end()));
                self.pattern = Some(pattern.clone());
            }
            Bound::OneOf(names) => {
                let null = self.is(&Type::Null).then_some(Value::Null);
                self.enum_values = Some(names.iter().map(|name| Value::from(*name)).chain(null).collect());
            }
        }
    }

    fn not_negative(&mut self) {
        if self.is(&Type::Integer) && self.minimum.is_none() {
            self.minimum = Some(Number::Int(0));
        }
    }

    fn is(&self, kind: &Type) -> bool {
        match &self.schema_type {
            SchemaType::Type(own) => own == kind,
            SchemaType::Array(own) => own.contains(kind),
            SchemaType::AnyValue => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_is_about_something() {
        let mut document = crate::api::openapi::plain();
        assert_eq!(super::tell(&mut document), std::collections::BTreeSet::new());
    }
}
