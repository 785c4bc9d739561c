//! Names become public addresses only. What is given is what is connected to, so a name that changes its address between
//! two look-ups gains nothing.

use std::io;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Forbidden, is_public};

pub(super) struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Addrs = Box::new(public_addresses(name.as_str()).await??.into_iter());
            Ok(addresses)
        })
    }
}

/// The public addresses of a host; refused where it has others alone.
pub(super) async fn public_addresses(host: &str) -> io::Result<Result<Vec<SocketAddr>, Forbidden>> {
    let all: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
    let (public, other): (Vec<_>, Vec<_>) = all.into_iter().partition(|address| is_public(address.ip()));
    match other.first() {
        Some(address) if public.is_empty() => Ok(Err(Forbidden::Host { host: host.to_owned(), address: address.ip() })),
        _ => Ok(Ok(public)),
    }
}
