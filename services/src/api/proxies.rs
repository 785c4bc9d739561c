//! Whose address a request comes from, where a proxy stands in between: the one that the proxy tells of, if it is trusted.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use ipnet::IpNet;

/// Where each proxy writes whom it was asked by, behind what it was told.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// A proxy whose word is taken, or a network of such: `10.1.2.3`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy(IpNet);

/// A text that is neither an address nor a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no address and no network; it looks like 10.1.2.3, 10.0.0.0/8 or fd00::/8")]
pub struct InvalidProxy;

impl FromStr for TrustedProxy {
    type Err = InvalidProxy;
    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let text = text.trim();
        let alone = |_| text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        match text.parse::<IpNet>().or_else(alone).map_err(|_| InvalidProxy)? {
            // Addresses are compared as those of IPv4 that they stand for.
            IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some() => Err(InvalidProxy),
            net => Ok(Self(net)),
        }
    }
}

/// The address that a request comes from; `None` where no connection brought it.
pub(super) fn from(request: &Request, trusted: &[TrustedProxy]) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
    Some(behind(peer, request.headers(), trusted).unwrap_or(peer))
}

/// The nearest address that is no trusted proxy's: what stands further left is what others said. `None` where there is none, or
/// something else stands before it.
fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[TrustedProxy]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|proxy| proxy.0.contains(&address));
    if !is_trusted(peer) {
        return None;
    }
    for line in headers.get_all(FORWARDED_FOR).into_iter().rev() {
        for text in line.to_str().ok()?.rsplit(',') {
            let address = address(text.trim())?;
            if !is_trusted(address) {
                return Some(address);
            }
        }
    }
    None
}

/// Some proxies write the port, too.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = |_| text.parse::<SocketAddr>().map(|address| address.ip());
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.parse::<IpAddr>().or_else(with_port).ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// Lines of the header have a bar in between.
    fn told(peer: &str, lines: &str) -> String {
        let trusted = ["10.0.0.0/8", "fd00::1", "192.0.2.7"].map(|text| text.parse::<TrustedProxy>().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines.split('|').filter(|line| !line.is_empty()) {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let peer = peer.parse::<IpAddr>().unwrap().to_canonical();
        behind(peer, &headers, &trusted).unwrap_or(peer).to_string()
    }

    #[test]
    fn the_nearest_address_that_is_no_proxys_is_the_callers() {
        for (peer, lines, expected) in [
            ("10.1.2.3", "198.51.100.4", "198.51.100.4"),
            ("::ffff:10.1.2.3", "198.51.100.4", "198.51.100.4"),
            ("fd00::1", "2001:db8::4", "2001:db8::4"),
            ("10.1.2.3", "203.0.113.9, 198.51.100.4, 10.9.9.9,192.0.2.7", "198.51.100.4"),
            ("10.1.2.3", "203.0.113.9|198.51.100.4|10.9.9.9", "198.51.100.4"),
            ("10.1.2.3", "198.51.100.4:41000", "198.51.100.4"),
            ("10.1.2.3", "[2001:db8::4]:443", "2001:db8::4"),
            // What a caller has written itself stands further left, whatever it is.
            ("10.1.2.3", "nonsense, 198.51.100.4", "198.51.100.4"),
            // Whoever is no trusted proxy speaks for itself alone.
            ("203.0.113.9", "198.51.100.4", "203.0.113.9"),
            ("fd00::2", "198.51.100.4", "fd00::2"),
            // A proxy that says nothing, nothing but proxies, or nothing that can be read.
            ("10.1.2.3", "", "10.1.2.3"),
            ("10.1.2.3", "10.9.9.9", "10.1.2.3"),
            ("10.1.2.3", "198.51.100.4, unknown", "10.1.2.3"),
            ("10.1.2.3", "198.51.100.4,", "10.1.2.3"),
            ("10.1.2.3", "198.51.100.4|\u{fc}", "10.1.2.3"),
        ] {
            assert_eq!(told(peer, lines), expected, "{peer} {lines}");
        }
    }

    #[test]
    fn what_is_neither_an_address_nor_a_network_is_refused() {
        for wrong in ["", "10.0.0.0/33", "10.0.0", "proxy.example.org", "10.0.0.0/8/8", "fd00::/129"] {
            assert_eq!(wrong.parse::<TrustedProxy>(), Err(InvalidProxy), "{wrong}");
        }
        assert_eq!(" 10.1.2.3".parse::<TrustedProxy>(), "10.1.2.3/32".parse::<TrustedProxy>());
    }
}
