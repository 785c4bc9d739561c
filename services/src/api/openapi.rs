//! The OpenAPI document, made from the code.

mod bounds;
mod served;

use adapters::identity::SESSION_COOKIE;
use axum::http::Method;
use domain::text::{LONGEST_TRACEPARENT, TAKEN_TRACEPARENT_PATTERN};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, Ref, RefOr, Required, SecurityRequirement};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::freshness::{self, FIRST_POSITION};
use super::idempotency::LONGEST_KEY;
use super::policy::{ROUTES, Route, Rule};
use super::ties::LONGEST_REQUEST_ID;
use super::{Api, audit, dead_letters, export, listings, me, probes, queue, service_levels, targets};

pub(super) use served::served;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Channels & Distribution",
        description = "Targets, listings, syncs and their audit. Problems come as application/problem+json. Changes answer \
            with the header Distribution-Position; a read with ?min_position= (or the header Min-Position) waits until it \
            shows them. Unsafe requests may carry an Idempotency-Key; a change of a target or a listing may carry If-Match."
    ),
    tags(
        (name = "targets", description = "Accounts at channels"),
        (name = "listings", description = "Units on targets"),
        (name = "queue", description = "What is still to be sent"),
        (name = "audit", description = "What was sent, call by call"),
        (name = "dead letters", description = "Messages that could not be used"),
        (name = "me", description = "The caller"),
        (name = "health", description = "This process, and the service levels")
    ),
    modifiers(&Security)
)]
struct Description;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("bearer", scheme);
        let session = ApiKey::Cookie(ApiKeyValue::with_description(
            SESSION_COOKIE,
            "The session of a browser, from /sign-in. Unsafe requests carry X-CSRF-Token too: the csrf_token of /api/channels/me.",
        ));
        document.components.get_or_insert_default().add_security_scheme("session", SecurityScheme::ApiKey(session));
        let csrf = ApiKey::Header(ApiKeyValue::with_description(
            "X-CSRF-Token",
            "With a session, for requests that change something: the csrf_token of /api/channels/me.",
        ));
        document.components.get_or_insert_default().add_security_scheme("csrf", SecurityScheme::ApiKey(csrf));
        document.security = Some(vec![by("bearer"), by("session")]);
    }
}

fn by(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new(scheme, Vec::<String>::new())
}

/// The routes with their documentation.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(targets::router())
        .merge(listings::router())
        .merge(queue::router())
        .merge(service_levels::router())
        .merge(audit::router())
        .merge(export::router())
        .merge(dead_letters::router())
        .merge(me::router())
        .merge(probes::router())
}

/// Headers of answers: name, kind, and what they tell.
const HEADERS: [(&str, Type, &str); 10] = [
    ("traceparent", Type::String, "The request's trace; absent where none was sent and none is kept"),
    ("X-Request-Id", Type::String, "The request's id: what was sent, or a new one"),
    ("RateLimit-Limit", Type::Integer, "Requests that are yours in a second"),
    ("RateLimit-Remaining", Type::Integer, "Those that are left now"),
    ("RateLimit-Reset", Type::Integer, "When there are all again, in seconds"),
    ("Retry-After", Type::Integer, "When to try again, in seconds, where that helps"),
    ("Idempotency-Replayed", Type::String, "`true` where the answer was given before to the same Idempotency-Key"),
    ("Distribution-Position", Type::Integer, "Where the change stands in the journal; absent where nothing changed"),
    (
        "ETag",
        Type::String,
        "The version, for If-Match; of a read, and what tells its answer from others, for If-None-Match",
    ),
    ("Location", Type::String, "The path of what was made"),
];

/// What the middlewares put on the answers of a route, and what changes are answered with.
fn tell_headers(route: &Route, operation: &mut Operation) {
    let changes = route.method != "GET" && route.path != "/api/channels/me";
    let versioned = ["/api/channels/targets", "/api/channels/listings"].iter().any(|path| route.path.starts_with(path));
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let mut names = vec!["X-Request-Id", "traceparent"];
        if route.rule != Rule::Public {
            names.extend(["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]);
        }
        match (status.starts_with('2'), changes) {
            (false, _) if status == "304" => names.push("ETag"),
            (false, _) => names.push("Retry-After"),
            (true, true) if versioned => names.extend(["Idempotency-Replayed", "Distribution-Position", "ETag"]),
            (true, true) => names.push("Idempotency-Replayed"),
            (true, false) => {}
        }
        if changes && status == "201" {
            names.push("Location");
        }
        let by_name = |name: &str| (name.to_owned(), RefOr::Ref(Ref::new(format!("#/components/headers/{name}"))));
        response.headers.extend(names.into_iter().map(by_name));
    }
}

/// What many requests can carry, by the names under which the document has them.
fn parameters() -> [(&'static str, Parameter); 5] {
    let text = |most: usize, pattern: &str| {
        let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(most));
        text.pattern(Some(pattern)).build()
    };
    let position = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(FIRST_POSITION)).build();
    let parameter = |name: &str, place: ParameterIn, schema: Object, description: &str| {
        let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(Required::False);
        parameter.description(Some(description)).schema(Some(schema)).build()
    };
    let key = "A text of your choice, such as a UUID, in quotes or without: the same request with the same key is done once, and \
        answered as before";
    let id = "Comes back with the answer, and stands with what the request made; one is made up where none is sent";
    let trace =
        "W3C trace context: comes back, of a later version as version 00, and goes on with what the request sets off";
    let shown = "Wait, up to 5 s, until the read models show this position";
    let header = ParameterIn::Header;
    [
        (KEY, parameter("Idempotency-Key", header.clone(), text(LONGEST_KEY, ASCII), key)),
        (ID, parameter("X-Request-Id", header.clone(), text(LONGEST_REQUEST_ID, ASCII), id)),
        (TRACE, parameter("traceparent", header.clone(), text(LONGEST_TRACEPARENT, TAKEN_TRACEPARENT_PATTERN), trace)),
        (SHOWN, parameter("min_position", ParameterIn::Query, position(), shown)),
        (SHOWN_BY_HEADER, parameter("Min-Position", header, position(), "The same as min_position")),
    ]
}

/// Visible ASCII and blanks.
const ASCII: &str = "^[ -~]+$";
const KEY: &str = "IdempotencyKey";
const ID: &str = "RequestId";
const TRACE: &str = "Traceparent";
const SHOWN: &str = "MinPosition";
const SHOWN_BY_HEADER: &str = "MinPositionHeader";

/// The document. Each operation says which permission it needs.
pub fn document() -> Document {
    let mut document = plain();
    bounds::tell(&mut document);
    document
}

/// The document without what values may be.
fn plain() -> Document {
    let mut document = routes().into_openapi();
    let headers = HEADERS.map(|(name, kind, text)| {
        let schema = ObjectBuilder::new().schema_type(kind);
        (name.to_owned(), RefOr::T(HeaderBuilder::new().description(Some(text)).schema(Some(schema)).build()))
    });
    let components = document.components.get_or_insert_default();
    components.headers.extend(headers);
    components.parameters.extend(parameters().map(|(name, parameter)| (name.to_owned(), RefOr::T(parameter))));
    for route in ROUTES {
        let Some(item) = document.paths.paths.get_mut(route.path) else { continue };
        let operation = match route.method {
            "GET" => item.get.as_mut(),
            "POST" => item.post.as_mut(),
            "PATCH" => item.patch.as_mut(),
            "DELETE" => item.delete.as_mut(),
            _ => None,
        };
        let Some(operation) = operation else { continue };
        if let Some(refused) = operation.responses.responses.get("4XX").cloned() {
            operation.responses.responses.insert("5XX".to_owned(), refused);
        }
        tell_headers(route, operation);
        tell_parameters(route, operation);
        if !method(route).is_safe() {
            // A session alone reads.
            let session = by("session").add("csrf", Vec::<String>::new());
            operation.security = Some(vec![by("bearer"), session]);
        }
        match route.rule {
            Rule::Public => operation.security = Some(Vec::new()),
            Rule::SignedIn => {}
            Rule::Needs(permission) => {
                let roles: Vec<&str> = permission.roles().iter().map(|role| role.as_str()).collect();
                let needs = format!("Needs {permission}: {}.", roles.join(", "));
                let before = operation.description.take().map(|text| format!("{text}\n\n")).unwrap_or_default();
                operation.description = Some(format!("{before}{needs}"));
            }
        }
    }
    document
}

fn method(route: &Route) -> Method {
    Method::from_bytes(route.method.as_bytes()).unwrap_or_default()
}

/// What the middlewares read of every request, of every change, of every read of what is written.
fn tell_parameters(route: &Route, operation: &mut Operation) {
    let mut names = vec![ID, TRACE];
    let method = method(route);
    if !method.is_safe() {
        names.push(KEY);
    }
    if freshness::waits(&method, route.path) {
        names.extend([SHOWN, SHOWN_BY_HEADER]);
    }
    let by_name = |name: &str| RefOr::Ref(Ref::new(format!("#/components/parameters/{name}")));
    operation.parameters.get_or_insert_default().extend(names.into_iter().map(by_name));
}
