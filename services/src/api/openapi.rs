//! The OpenAPI document, made from the code.

use adapters::identity::SESSION_COOKIE;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, Ref, RefOr, Required, SecurityRequirement};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::policy::{ROUTES, Route, Rule};
use super::{Api, audit, dead_letters, listings, me, probes, queue, service_levels, targets};

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
        let by = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
        document.security = Some(vec![by("bearer"), by("session")]);
    }
}

/// The routes with their documentation.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(targets::router())
        .merge(listings::router())
        .merge(queue::router())
        .merge(service_levels::router())
        .merge(audit::router())
        .merge(dead_letters::router())
        .merge(me::router())
        .merge(probes::router())
}

/// Headers of answers: name, kind, and what they tell.
const HEADERS: [(&str, Type, &str); 9] = [
    ("X-Request-Id", Type::String, "The request's id: what was sent, or a new one"),
    ("RateLimit-Limit", Type::Integer, "Requests that are yours in a second"),
    ("RateLimit-Remaining", Type::Integer, "Those that are left now"),
    ("RateLimit-Reset", Type::Integer, "When there are all again, in seconds"),
    ("Retry-After", Type::Integer, "When to try again, in seconds, where that helps"),
    ("Idempotency-Replayed", Type::String, "`true` where the answer was given before to the same Idempotency-Key"),
    ("Distribution-Position", Type::Integer, "Where the change stands in the journal; absent where nothing changed"),
    ("ETag", Type::String, "The version, for If-Match"),
    ("Location", Type::String, "The path of what was made"),
];

/// What the middlewares put on the answers of a route, and what changes are answered with.
fn tell_headers(route: &Route, operation: &mut Operation) {
    let changes = route.method != "GET" && route.path != "/api/channels/me";
    let versioned = ["/api/channels/targets", "/api/channels/listings"].iter().any(|path| route.path.starts_with(path));
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let mut names = vec!["X-Request-Id"];
        if route.rule != Rule::Public {
            names.extend(["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]);
        }
        match (status.starts_with('2'), changes) {
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

fn header(name: &str, description: &str) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(128));
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
    parameter.description(Some(description)).schema(Some(text)).build()
}

/// The document. Each operation says which permission it needs.
pub fn document() -> Document {
    let mut document = routes().into_openapi();
    let headers = HEADERS.map(|(name, kind, text)| {
        let schema = ObjectBuilder::new().schema_type(kind);
        (name.to_owned(), RefOr::T(HeaderBuilder::new().description(Some(text)).schema(Some(schema)).build()))
    });
    document.components.get_or_insert_default().headers.extend(headers);
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
        if route.method != "GET" {
            let text = "A text of your choice, such as a UUID: the same request with the same key is done once, and answered as before";
            operation.parameters.get_or_insert_default().push(header("Idempotency-Key", text).into());
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
