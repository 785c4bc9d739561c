//! The OpenAPI document, made from the code.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, SecurityRequirement};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::policy::{ROUTES, Rule};
use super::{Api, audit, dead_letters, listings, me, probes, queue, targets};

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
        (name = "health", description = "This process")
    ),
    modifiers(&Security)
)]
struct Description;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("bearer", scheme);
        document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    }
}

/// The routes with their documentation.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(targets::router())
        .merge(listings::router())
        .merge(queue::router())
        .merge(audit::router())
        .merge(dead_letters::router())
        .merge(me::router())
        .merge(probes::router())
}

/// The document. Each operation says which permission it needs.
pub fn document() -> Document {
    let mut document = routes().into_openapi();
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
