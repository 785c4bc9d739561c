//! What the library does not look at in an ID token whose signature is good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::identity::token::LEEWAY_S;

/// Whether its claims are for this client, and for now; or what is wrong with them.
pub(super) fn check(claims: &Value, client_id: &str) -> Result<(), &'static str> {
    let given = |claim: &str| claims.get(claim).filter(|value| !value.is_null());
    // OpenID Connect Core, 3.1.3.7: whoever asked for it.
    if given("azp").is_some_and(|azp| azp.as_str() != Some(client_id)) {
        return Err("its ID token was issued to another client (azp)");
    }
    let Some(nbf) = given("nbf") else { return Ok(()) };
    let nbf = nbf.as_f64().ok_or("the nbf of its ID token is no number of seconds since 1970")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + Duration::from_secs(LEEWAY_S);
    if nbf > now.as_secs_f64() { Err("its ID token is not valid yet (nbf)") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_token_of_another_client_or_of_a_time_to_come_is_refused() {
        let now = chrono::Utc::now().timestamp();
        for (claims, fits) in [
            (json!({}), true),
            (json!({ "azp": "here", "nbf": now }), true),
            (json!({ "azp": null, "nbf": null }), true),
            // Clocks may differ.
            (json!({ "nbf": now + 20 }), true),
            (json!({ "nbf": now + 60 }), false),
            (json!({ "nbf": 1e300 }), false),
            (json!({ "nbf": "tomorrow" }), false),
            (json!({ "azp": "there" }), false),
            (json!({ "azp": ["here"] }), false),
        ] {
            assert_eq!(check(&claims, "here").is_ok(), fits, "{claims}");
        }
    }
}
