//! Who callers are, on real parts: Postgres, keys of all three algorithms behind HTTP, and an OpenID provider in its own
//! process that a person signs in at.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;
mod database;
mod issuer;
mod local_tokens;
mod login;
mod provider;
mod refused_tokens;
mod service_tokens;
mod sessions;
mod sign_in_links;
