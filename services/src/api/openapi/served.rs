//! The document as it is served. The examples name ids that nobody has, so whoever is signed in gets it with some of their own: what is
//! tried on the page works as it stands. Where a request changes or takes away something it is named by hand, but for the target of a
//! new link. Filters have no examples, as the page would fill them all in, and find nothing. Programs get what is committed.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse as _, Response};
use domain::access::{Caller, Permission};
use serde_json::{Value, json};
use sqlx::FromRow;
use uuid::Uuid;

use super::document;
use crate::api::Api;
use crate::api::audit::{Filter, Order, syncs};
use crate::api::identity::Credential;
use crate::api::policy::{Rule, rule};
use crate::api::reader::{Reader, account_filter};

static COMMITTED: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(document()).expect("the document is JSON, as a test has seen"));

/// The first target and listing of a caller; and a unit with a target that it is not on, among the first of each.
const OWN: &str = "
WITH seen AS (
    SELECT target_id, account_id, name FROM channel_targets
    WHERE org_id = $1 AND ($2::text[] IS NULL OR account_id = ANY ($2)) AND lifecycle = 'active'
    ORDER BY name, target_id LIMIT 10
), free AS (
    SELECT t.target_id, u.unit_id
    FROM seen AS t
    CROSS JOIN LATERAL (
        SELECT some_units.unit_id
        FROM (SELECT unit_id, account_id FROM units WHERE org_id = $1 ORDER BY unit_id LIMIT 1000) AS some_units
        WHERE some_units.account_id = t.account_id AND NOT EXISTS (
            SELECT FROM channel_listings AS l WHERE l.target_id = t.target_id AND l.unit_id = some_units.unit_id)
        ORDER BY some_units.unit_id LIMIT 1
    ) AS u
    ORDER BY t.name, t.target_id LIMIT 1
)
SELECT (SELECT target_id FROM seen ORDER BY name, target_id LIMIT 1) AS target,
    (SELECT listing_id FROM channel_listings
     WHERE org_id = $1 AND ($2::text[] IS NULL OR account_id = ANY ($2)) AND state = 'active'
     ORDER BY target_id, unit_id LIMIT 1) AS listing,
    (SELECT target_id FROM free) AS free_target, (SELECT unit_id FROM free) AS free_unit";

#[derive(Debug, FromRow)]
struct Own {
    target: Option<Uuid>,
    listing: Option<Uuid>,
    /// The newest.
    #[sqlx(skip)]
    sync: Option<Uuid>,
    free_target: Option<Uuid>,
    free_unit: Option<String>,
}

/// The document for whoever asks. It is open to everybody, so nothing that goes wrong keeps it from anybody.
pub(in crate::api) async fn served(State(api): State<Api>, headers: HeaderMap) -> Response {
    let Ok(credential @ Credential::Session(_)) = Credential::of(&headers) else { return committed() };
    let Ok(caller) = api.inner.identity.caller(&credential).await else { return committed() };
    match own(&api, &caller).await {
        Ok(own) => Json(with(COMMITTED.clone(), &caller, &own)).into_response(),
        Err(error) => {
            tracing::warn!(%error, "the document is served without ids of the caller's");
            committed()
        }
    }
}

fn committed() -> Response {
    Json(&*COMMITTED).into_response()
}

async fn own(api: &Api, caller: &Caller) -> Result<Own, sqlx::Error> {
    // By the audit's own way: however long ago it was, what others have had since is not read.
    let newest = syncs(&api.inner.pool, caller, &Filter::default(), Order::NewestFirst, None, 1).await?.syncs;
    let mut reader = Reader::open(&api.inner.pool, caller).await?;
    let own = sqlx::query_as(OWN).bind(caller.org_id.as_str()).bind(account_filter(caller));
    let own: Own = own.fetch_one(&mut *reader).await?;
    Ok(Own { sync: newest.first().map(|sync| sync.sync_id), ..own })
}

/// The document with these, where the caller may read what is there.
fn with(mut document: Value, caller: &Caller, own: &Own) -> Value {
    let ids = [("target_id", own.target), ("listing_id", own.listing), ("sync_id", own.sync)];
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        let may_read = matches!(rule(&Method::GET, path), Some(Rule::Needs(needed)) if caller.may(needed));
        if !may_read {
            continue;
        }
        let Some(parameters) = item.pointer_mut("/get/parameters").and_then(Value::as_array_mut) else { continue };
        for parameter in parameters.iter_mut().filter(|parameter| parameter["in"] == "path") {
            if let Some((_, Some(id))) = ids.iter().find(|(name, _)| parameter["name"] == *name) {
                parameter["example"] = json!(id);
            }
        }
    }
    if let (Some(target), Some(unit)) = (own.free_target, &own.free_unit)
        && caller.may(Permission::LinkListings)
        && let Some(example) = document.pointer_mut("/components/schemas/LinkListing/example")
    {
        *example = json!({ "target_id": target, "unit_id": unit });
    }
    document
}
