//! Who did something, as every door names it.

use domain::metadata::Metadata;

/// The actor of an event, on whose behalf it acted where that is another, and what published the unit change that led to it.
pub fn by(metadata: &Metadata) -> String {
    let actor = &metadata.actor.name;
    let source = metadata.source.as_ref().map(|source| format!(", unit change from {source}")).unwrap_or_default();
    format!("{actor}{}{source}", on_behalf_of(actor, metadata.on_behalf_of.as_deref()))
}

/// To stand behind the actor: nothing where it acts for itself.
pub fn on_behalf_of(actor: &str, other: Option<&str>) -> String {
    other.filter(|other| *other != actor).map(|other| format!(" on behalf of {other}")).unwrap_or_default()
}

/// Somebody and the credential, as far as these are known.
pub fn with(created_by: &str, credential: Option<&str>, credential_id: Option<&str>) -> String {
    let credential: Vec<&str> = credential.into_iter().chain(credential_id).collect();
    if credential.is_empty() { created_by.to_owned() } else { format!("{created_by} ({})", credential.join(" ")) }
}

#[cfg(test)]
mod tests {
    use domain::ids::TargetId;
    use domain::metadata::Actor;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_credential_stands_beside_whose_it_is() {
        assert_eq!(with("ops", None, None), "ops");
        assert_eq!(with("ops", Some("cli"), None), "ops (cli)");
        assert_eq!(with("ops", Some("session"), Some("7")), "ops (session 7)");
    }

    #[test]
    fn another_on_whose_behalf_it_was_is_named_beside_the_actor() {
        let of = |actor: Actor, on_behalf_of: Option<&str>, source: Option<&str>| {
            by(&Metadata {
                org_id: "sunstay".parse().expect("a name"),
                account_id: "bali".parse().expect("a name"),
                target_id: TargetId(Uuid::nil()),
                unit_id: None,
                actor,
                on_behalf_of: on_behalf_of.map(str::to_owned),
                source: source.map(str::to_owned),
                correlation_id: Uuid::nil(),
                causation_id: None,
                traceparent: None,
            })
        };
        let (ops, dispatcher, intake) = (Actor::cli("ops"), Actor::service("dispatcher"), Actor::service("intake"));
        assert_eq!(of(ops.clone(), None, None), "ops");
        assert_eq!(of(ops, Some("ops"), None), "ops");
        assert_eq!(of(dispatcher, Some("ops"), None), "service:dispatcher on behalf of ops");
        let source = of(intake, None, Some("urn:sunstay:bookings"));
        assert_eq!(source, "service:intake, unit change from urn:sunstay:bookings");
    }
}
