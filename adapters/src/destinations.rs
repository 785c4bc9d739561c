//! Where calls may go. Base URLs come from users, so by default only HTTPS to public addresses is called: looked at when
//! a target is made, before each call, and once more when the name of the host has become an address.

mod address;
mod resolver;

use std::net::IpAddr;
use std::time::Duration;

use domain::text::cut;
use reqwest::{ClientBuilder, Url};

pub use address::is_public;
use resolver::PublicAddresses;

/// A look-up that takes longer says nothing; the call makes its own.
const LOOK_UP: Duration = Duration::from_secs(3);
const ALLOW: &str = "the operator can allow it with --allow-private-channels";

/// Which destinations are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Destinations {
    /// HTTPS to public addresses.
    #[default]
    Public,
    /// Whatever a target names, for a channel inside of one's own network.
    Any,
}

/// The longest scheme that is shown.
const LONGEST_SHOWN: usize = 40;

/// A destination that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// No channel is called in this way.
    #[error("a channel is called by {allowed}, not by {scheme}: give https://host[:port]/path")]
    Scheme {
        /// What was given.
        scheme: String,
        /// What is right.
        allowed: &'static str,
    },
    /// It looks like a URL, and cannot be read as one.
    #[error("is no URL: {0}; give https://host[:port]/path")]
    Unreadable(String),
    /// The one port that nobody can listen at.
    #[error("no host answers at port 0: give https://host[:port]/path, with the channel's port or without one")]
    NoPort,
    /// It would be read on its way.
    #[error("{0} is not https; {ALLOW}")]
    Plain(String),
    /// It is an address of no public host.
    #[error("{0} is no public address; {ALLOW}")]
    Address(IpAddr),
    /// Every address of the host is such a one.
    #[error("{host} is {address}, which is no public address; {ALLOW}")]
    Host {
        /// The name.
        host: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// It is a name that no public host has.
    #[error("{0} is a name for one's own network; {ALLOW}")]
    Name(String),
}

impl Destinations {
    /// The options of an operator.
    pub fn allowing_private(allowed: bool) -> Self {
        if allowed { Self::Any } else { Self::Public }
    }

    /// Looks at a base URL as it is given, and at where its host is now. A text that is no URL, and a name that nobody
    /// knows, pass: others refuse the one, and the call finds out about the other.
    pub async fn check(self, base_url: &str) -> Result<(), Forbidden> {
        let url = match Url::parse(base_url) {
            Ok(url) => url,
            // It says what it is, and is not: a port of six digits, say.
            Err(error) if base_url.contains("://") => return Err(Forbidden::Unreadable(error.to_string())),
            Err(_) => return Ok(()),
        };
        self.check_url(&url)?;
        if self == Self::Any || literal(&url).is_some() {
            return Ok(());
        }
        let Some(host) = url.host_str() else { return Ok(()) };
        match tokio::time::timeout(LOOK_UP, resolver::public_addresses(host)).await {
            Ok(Ok(Err(forbidden))) => Err(forbidden),
            // Where nobody knows it here, the machine that calls may.
            Ok(Err(_)) | Err(_) if is_of_ones_own_network(host) => Err(Forbidden::Name(host.to_owned())),
            _ => Ok(()),
        }
    }

    /// Looks at a URL alone. A literal address is never looked up, so this is where it is refused.
    pub(crate) fn check_url(self, url: &Url) -> Result<(), Forbidden> {
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            other => {
                let allowed = if self == Self::Any { "https or http" } else { "https" };
                return Err(Forbidden::Scheme { scheme: cut(other, LONGEST_SHOWN), allowed });
            }
        };
        if url.port() == Some(0) {
            return Err(Forbidden::NoPort);
        }
        if self == Self::Any {
            return Ok(());
        }
        if plain {
            return Err(Forbidden::Plain(url.origin().ascii_serialization()));
        }
        match literal(url) {
            Some(address) if !is_public(address) => Err(Forbidden::Address(address)),
            _ => Ok(()),
        }
    }

    /// A client that connects to nothing else. A proxy would do the look-up itself, out of our sight: none is used.
    pub(crate) fn guard(self, client: ClientBuilder) -> ClientBuilder {
        match self {
            Self::Public => client.dns_resolver(PublicAddresses).no_proxy().https_only(true),
            Self::Any => client,
        }
    }
}

/// Names that are set apart for oneself or one's own network (RFC 6761, 6762, 8375; and `internal`), and those without a dot, which only
/// one's own network knows or completes.
fn is_of_ones_own_network(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if !host.contains('.') {
        return true;
    }
    let reserved = ["localhost", "local", "internal", "home.arpa"];
    reserved.iter().any(|name| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// The address that stands in the URL itself. The parser has brought `0x7f.1` and its like into shape.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
