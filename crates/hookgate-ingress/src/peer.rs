//! Who is at the other end: the socket's peer, or what a configured proxy says; and how
//! much each of them has going.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How many parts the peers' counts are spread over, each with a lock of its own.
const SHARDS: usize = 16;

/// The other end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address: the socket's, or the client's that a trusted proxy names.
    pub addr: IpAddr,
    /// Whether it speaks TLS with us, or with a trusted proxy in front of us.
    pub is_https: bool,
    /// Whether it is this machine itself. A request that a proxy on this machine passes
    /// on is not, whether that proxy is trusted or not.
    pub is_loopback: bool,
}

/// The proxies whose word counts.
#[derive(Debug)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(crate) fn new(nets: Vec<IpNet>) -> Self {
        Self(nets)
    }

    pub(crate) fn trusts(&self, addr: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&addr))
    }

    /// Who sent a request that came over a socket from `socket`. Without a trusted proxy
    /// there, headers say nothing.
    pub(crate) fn peer(&self, socket: IpAddr, is_tls: bool, headers: &HeaderMap) -> Peer {
        let is_forwarded = || {
            let names = ["x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via"];
            names.iter().any(|name| headers.contains_key(*name))
        };
        if !self.trusts(socket) {
            let is_loopback = socket.is_loopback() && !is_forwarded();
            return Peer { addr: socket, is_https: is_tls, is_loopback };
        }
        let addr = self.client(socket, headers);
        let is_loopback = socket.is_loopback() && addr.is_loopback() && !is_forwarded();
        Peer { addr, is_https: is_tls || says_https(headers), is_loopback }
    }

    /// The first address from the right that is not a trusted proxy's. What stands left
    /// of it is whatever the client wrote.
    fn client(&self, socket: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = socket;
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|it| *it == b','));
        for hop in hops {
            let Some(addr) = address(hop) else { break };
            client = addr;
            if !self.trusts(addr) {
                break;
            }
        }
        client
    }
}

/// What the nearest proxy says of the transport: the last word of the header.
fn says_https(headers: &HeaderMap) -> bool {
    let last = headers.get_all(FORWARDED_PROTO).iter().next_back();
    let word = last.and_then(|line| line.as_bytes().rsplit(|it| *it == b',').next());
    word.is_some_and(|word| word.trim_ascii().eq_ignore_ascii_case(b"https"))
}

/// An address as proxies write it, with or without brackets and a port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    if let Ok(addr) = hop.parse::<IpAddr>() {
        return Some(addr.to_canonical());
    }
    if let Ok(addr) = hop.parse::<std::net::SocketAddr>() {
        return Some(addr.ip().to_canonical());
    }
    let bare = hop.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().ok().map(|addr| addr.to_canonical())
}

/// What each peer has going.
#[derive(Debug)]
pub(crate) struct Peers {
    shards: [Mutex<HashMap<IpAddr, Arc<Counts>>>; SHARDS],
    hasher: RandomState,
}

/// What one peer has going.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// How many seats refer to this peer; changed under its shard's lock alone.
    seats: AtomicUsize,
    in_flight: AtomicUsize,
}

/// A peer's place in the count: held by a connection, or by a request that a proxy
/// passed on.
#[derive(Debug)]
pub(crate) struct Seat {
    peers: Arc<Peers>,
    key: IpAddr,
    counts: Arc<Counts>,
}

/// One request of a peer in flight.
#[derive(Debug)]
pub(crate) struct PeerSlot<'a>(&'a Counts);

impl Peers {
    pub(crate) fn new() -> Arc<Self> {
        let shards = std::array::from_fn(|_| Mutex::default());
        Arc::new(Self { shards, hasher: RandomState::new() })
    }

    /// A seat for this peer, unless it has `max` of them.
    pub(crate) fn seat(self: &Arc<Self>, addr: IpAddr, max: usize) -> Option<Seat> {
        let key = subscriber(addr);
        let mut shard = self.shard(key);
        let counts = shard.entry(key).or_default();
        let seats = counts.seats.load(Ordering::Relaxed);
        if seats >= max {
            if seats == 0 {
                shard.remove(&key);
            }
            return None;
        }
        counts.seats.fetch_add(1, Ordering::Relaxed);
        let counts = Arc::clone(counts);
        drop(shard);
        Some(Seat { peers: Arc::clone(self), key, counts })
    }

    fn shard(&self, key: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, Arc<Counts>>> {
        let number = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or(0) % SHARDS;
        let [first, ..] = &self.shards;
        let shard = self.shards.get(number).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many peers have a seat.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().map_or(0, |it| it.len())).sum()
    }
}

impl Seat {
    /// A request in flight, unless the peer has `max` of them.
    pub(crate) fn enter(&self, max: usize) -> Option<PeerSlot<'_>> {
        let slot = PeerSlot(&self.counts);
        let before = self.counts.in_flight.fetch_add(1, Ordering::Relaxed);
        (before < max).then_some(slot)
    }
}

impl Drop for PeerSlot<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut shard = self.peers.shard(self.key);
        if self.counts.seats.fetch_sub(1, Ordering::Relaxed) == 1 {
            shard.remove(&self.key);
        }
    }
}

/// What counts as one peer: an IPv4 address, or the 64 bits of an IPv6 network that one
/// subscriber gets.
fn subscriber(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(socket: &str, forwarded: &[&str], expected: &str) {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let peer = proxies.peer(socket.parse().unwrap(), false, &headers);
        assert_eq!(peer.addr.to_string(), expected);
    }

    #[test]
    fn only_a_trusted_proxy_says_who_the_client_is() {
        check("192.0.2.7", &["198.51.100.1"], "192.0.2.7");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.2.2.2"], "198.51.100.1");
        check("10.0.0.1", &["6.6.6.6", "198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3");
        check("10.0.0.1", &["198.51.100.1, nonsense"], "10.0.0.1");
        check("::1", &["[2001:db8::1]:443"], "2001:db8::1");
        check("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1");
    }

    #[test]
    fn a_request_through_a_local_proxy_is_not_the_machine_itself() {
        let proxies = Proxies::new(vec![]);
        let local = "127.0.0.1".parse().unwrap();
        let mut headers = HeaderMap::new();
        assert!(proxies.peer(local, false, &headers).is_loopback);
        headers.insert(FORWARDED_FOR, "127.0.0.1".parse().unwrap());
        assert!(!proxies.peer(local, false, &headers).is_loopback);
        let trusting = Proxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
        assert!(!trusting.peer(local, false, &headers).is_loopback);
    }

    #[test]
    fn the_nearest_proxy_says_whether_it_was_https() {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let https = |socket: &str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_PROTO, value.parse().unwrap());
            proxies.peer(socket.parse().unwrap(), false, &headers).is_https
        };
        assert!(https("10.0.0.1", "https"));
        assert!(https("10.0.0.1", "http, HTTPS"));
        assert!(!https("10.0.0.1", "https, http"));
        assert!(!https("192.0.2.1", "https"));
    }

    #[test]
    fn seats_are_counted_by_subscriber_and_forgotten() {
        let peers = Peers::new();
        let first = peers.seat("2001:db8::1".parse().unwrap(), 2).unwrap();
        let second = peers.seat("2001:db8::2".parse().unwrap(), 2).unwrap();
        assert!(peers.seat("2001:db8::3".parse().unwrap(), 2).is_none());
        let other = peers.seat("2001:db8:0:1::3".parse().unwrap(), 2).unwrap();
        assert_eq!(peers.len(), 2);
        let slot = first.enter(1).unwrap();
        assert!(second.enter(1).is_none());
        drop(slot);
        assert!(second.enter(1).is_some());
        drop((first, second, other));
        assert_eq!(peers.len(), 0);
    }
}
