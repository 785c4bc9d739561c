//! Which addresses belong to public hosts: what IANA's registries of special-purpose addresses leave.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a host of the public internet can have it.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Networks of no public host: the first address and the length of the prefix.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 15] = [
    // This network, private, carrier-grade NAT, loopback, link-local, private.
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    // Protocol assignments, documentation, 6to4 relays, private, benchmarks, documentation.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, reserved and broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let inside = |(network, bits): &(Ipv4Addr, u32)| (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0;
    !NOT_PUBLIC_V4.iter().any(inside)
}

/// Only 2000::/3 is given to hosts: loopback, unique-local, link-local, multicast and unspecified are all outside of it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = embedded(address) {
        return is_public_v4(v4);
    }
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    // Protocols such as Teredo (2001::/23), documentation (2001:db8::/32, 3fff::/20), 6to4 (2002::/16).
    let special = (first == 0x2001 && (second < 0x200 || second == 0xdb8))
        || first == 0x2002
        || (first == 0x3fff && second < 0x1000);
    global && !special
}

/// The IPv4 host behind it: mapped (::ffff:0:0/96), or through NAT64 (64:ff9b::/96).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let through_nat64 = address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let last = u32::try_from(address.to_bits() & u128::from(u32::MAX)).ok()?;
    address.to_ipv4_mapped().or_else(|| through_nat64.then(|| Ipv4Addr::from_bits(last)))
}
