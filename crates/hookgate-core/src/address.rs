//! Which addresses the gateway may reach on a tenant's behalf.
//!
//! A tenant names a URL, and the gateway stands inside the operator's network: without a
//! rule, a destination is a way to ask the operator's own machines. [`Policy`] is that
//! rule, for one address at a time; whoever connects asks it about the address itself,
//! after names are resolved, because a name may resolve to anything.
//!
//! Sources: the IANA registries of special-purpose addresses for IPv4 and IPv6 and their
//! multicast registries, as of October 2025. All that they list is refused: what is not
//! globally reachable, and the few that are, where protocols stand and no web server. So
//! is IPv6 outside of what is given out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What the operator lets tenants reach although it is refused otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    allow: Vec<IpNet>,
}

/// Why an address may not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// `0.0.0.0/8` and `::`. Many systems take it for their own machine.
    #[error("the address means this very machine or network")]
    Unspecified,
    /// `127.0.0.0/8` and `::1`.
    #[error("the address is a loopback address")]
    Loopback,
    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`, `fc00::/7`, `fec0::/10`.
    #[error("the address is private")]
    Private,
    /// `169.254.0.0/16` and `fe80::/10`.
    #[error("the address is link-local")]
    LinkLocal,
    /// `100.64.0.0/10`: behind a provider's translation, and overlay networks.
    #[error("the address is shared behind a provider's translation")]
    Shared,
    /// Where a cloud hands a machine's own credentials out.
    #[error("the address is a cloud's metadata service")]
    Metadata,
    /// `224.0.0.0/4` and `ff00::/8`.
    #[error("the address is a multicast address")]
    Multicast,
    /// Documentation, benchmarking, protocols, broadcast, and what is not assigned.
    #[error("the address is reserved")]
    Reserved,
}

/// Ranges of IPv4 that are refused; the first that holds an address names the cause.
const IPV4: [(Ipv4Net, Refused); 18] = [
    (v4(0, 0, 0, 0, 8), Refused::Unspecified),
    (v4(10, 0, 0, 0, 8), Refused::Private),
    (v4(100, 64, 0, 0, 10), Refused::Shared),
    (v4(127, 0, 0, 0, 8), Refused::Loopback),
    (v4(169, 254, 0, 0, 16), Refused::LinkLocal),
    (v4(172, 16, 0, 0, 12), Refused::Private),
    // Assignments of the IETF. The two anycast addresses within (RFC 7723, RFC 8155) are
    // reachable, but no web server stands there.
    (v4(192, 0, 0, 0, 24), Refused::Reserved),
    (v4(192, 0, 2, 0, 24), Refused::Reserved),
    // The relays of 6to4, withdrawn in 2015 (RFC 7526).
    (v4(192, 88, 99, 0, 24), Refused::Reserved),
    (v4(192, 168, 0, 0, 16), Refused::Private),
    // Sinks for reverse look-ups (AS112), and relays of multicast (AMT).
    (v4(192, 31, 196, 0, 24), Refused::Reserved),
    (v4(192, 52, 193, 0, 24), Refused::Reserved),
    (v4(192, 175, 48, 0, 24), Refused::Reserved),
    (v4(198, 18, 0, 0, 15), Refused::Reserved),
    (v4(198, 51, 100, 0, 24), Refused::Reserved),
    (v4(203, 0, 113, 0, 24), Refused::Reserved),
    (v4(224, 0, 0, 0, 4), Refused::Multicast),
    // With 255.255.255.255, the broadcast address.
    (v4(240, 0, 0, 0, 4), Refused::Reserved),
];

/// Ranges of IPv6 that are refused; the first that holds an address names the cause.
/// Forms that carry an IPv4 address are judged before, in [`carried`].
const IPV6: [(Ipv6Net, Refused); 10] = [
    (v6([0; 8], 128), Refused::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Refused::Loopback),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Refused::Private),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Refused::LinkLocal),
    // Site-local, withdrawn in 2004 (RFC 3879), still honoured by some systems.
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Refused::Private),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Refused::Multicast),
    // Assignments of the IETF: benchmarking, identifiers that are no places, anycast.
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Refused::Reserved),
    (v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32), Refused::Reserved),
    // A sink for reverse look-ups (AS112).
    (v6([0x2620, 0x004f, 0x8000, 0, 0, 0, 0, 0], 48), Refused::Reserved),
    // Documentation (RFC 9637).
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Refused::Reserved),
];

/// All that IANA gives out as globally reachable unicast. Outside of it nothing is
/// anybody's.
const GLOBAL: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Where clouds hand out credentials: AWS, Azure, Google, Oracle and others at the first;
/// AWS's container credentials; Azure's host agent, which is a public address; Oracle's
/// older one; Alibaba's; and the IPv6 forms of AWS (EC2, EKS) and Google. As of October
/// 2025.
const METADATA: [IpAddr; 9] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)),
];

impl Policy {
    /// A policy that refuses what is not public, but for these networks.
    ///
    /// A network does not let in a metadata service that lies within it: whoever allows
    /// their private range means its machines, not their credentials. That takes the
    /// address itself, as a network of one.
    #[must_use]
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow }
    }

    /// Whether `address` may be reached.
    ///
    /// # Errors
    ///
    /// Why it may not. An IPv6 address that stands for IPv4 addresses is judged by them.
    pub fn admits(&self, address: IpAddr) -> Result<(), Refused> {
        if self.lists(address) {
            return Ok(());
        }
        match carried(address) {
            Carried::Itself => judge(address),
            Carried::Nobody => Err(Refused::Reserved),
            Carried::One(inner) => self.admits(IpAddr::V4(inner)),
            Carried::Two(one, other) => {
                self.admits(IpAddr::V4(one)).and_then(|()| self.admits(IpAddr::V4(other)))
            }
        }
    }

    /// Whether the operator named `address`, so that it may also be reached without TLS.
    #[must_use]
    pub fn lists(&self, address: IpAddr) -> bool {
        let named = |net: &IpNet| {
            let is_itself = net.prefix_len() == net.max_prefix_len();
            net.contains(&address) && (is_itself || !METADATA.contains(&address))
        };
        if self.allow.iter().any(named) {
            return true;
        }
        match carried(address) {
            Carried::One(inner) => self.lists(IpAddr::V4(inner)),
            Carried::Two(one, other) => {
                self.lists(IpAddr::V4(one)) && self.lists(IpAddr::V4(other))
            }
            Carried::Itself | Carried::Nobody => false,
        }
    }
}

/// The cause that the registries give against `address` itself.
fn judge(address: IpAddr) -> Result<(), Refused> {
    if METADATA.contains(&address) {
        return Err(Refused::Metadata);
    }
    let cause = match address {
        IpAddr::V4(address) => {
            IPV4.iter().find(|(net, _)| net.contains(&address)).map(|(_, cause)| *cause)
        }
        IpAddr::V6(address) => {
            let listed = IPV6.iter().find(|(net, _)| net.contains(&address));
            let outside = (!GLOBAL.contains(&address)).then_some(Refused::Reserved);
            listed.map(|(_, cause)| *cause).or(outside)
        }
    };
    cause.map_or(Ok(()), Err)
}

/// Which IPv4 addresses a packet to an address may end up at.
enum Carried {
    /// None: it is judged as it is.
    Itself,
    /// It stands for another one that cannot be told.
    Nobody,
    One(Ipv4Addr),
    Two(Ipv4Addr, Ipv4Addr),
}

fn carried(address: IpAddr) -> Carried {
    let IpAddr::V6(address) = address else { return Carried::Itself };
    let last = |bits: u128| Ipv4Addr::from_bits(u32::try_from(bits & 0xffff_ffff).unwrap_or(0));
    let bits = address.to_bits();
    match address.segments() {
        // `::` and `::1` are not IPv4 addresses, although they look like compatible ones.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Carried::Itself,
        // IPv4-compatible (withdrawn), IPv4-mapped, and NAT64's well-known prefix.
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            Carried::One(last(bits))
        }
        // NAT64's prefix for local use (RFC 8215). Where the IPv4 address stands depends on
        // the prefix that the network chose below it; this is the one form in which all
        // other readings end nowhere.
        [0x64, 0xff9b, 1, 0, 0, 0, _, _] => Carried::One(last(bits)),
        [0x64, 0xff9b, 1, _, _, _, _, _] => Carried::Nobody,
        // 6to4: behind the first 16 bits.
        [0x2002, ..] => Carried::One(last(bits >> 80)),
        // Teredo: the server, and the client's own with all bits turned over.
        [0x2001, 0, ..] => Carried::Two(last(bits >> 64), last(!bits)),
        _ => Carried::Itself,
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), prefix)
}

#[cfg(test)]
mod tests;
