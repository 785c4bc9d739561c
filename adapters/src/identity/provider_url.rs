//! Addresses of an identity provider: whoever can change what they answer can sign in as anybody.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// An https address, or an http one of this machine. Keeps the text as it was given, because issuers are compared as
/// texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderUrl {
    text: String,
    url: Url,
}

/// A text that is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it must be an https:// address without user and fragment (http:// only on this machine)")]
pub struct InvalidProviderUrl;

impl ProviderUrl {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As an address.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

impl FromStr for ProviderUrl {
    type Err = InvalidProviderUrl;
    fn from_str(text: &str) -> Result<Self, InvalidProviderUrl> {
        let url = Url::parse(text).map_err(|_| InvalidProviderUrl)?;
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let sheltered = url.scheme() == "https" || (url.scheme() == "http" && here);
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if sheltered && plain { Ok(Self { text: text.to_owned(), url }) } else { Err(InvalidProviderUrl) }
    }
}

impl fmt::Display for ProviderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
