//! What each peer may take of a ring, so that one cannot overwrite what all others left.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hookgate_core::received::Unproven;

use crate::error::Unavailable;
use crate::lock;
use crate::options::Share;

/// Peers that are remembered at once: 256 KiB. Beyond, the unknown ones share one share.
const PEERS_MAX: usize = 4_096;

/// How often peers are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The shares of all peers.
#[derive(Debug)]
pub(crate) struct Peers {
    share: Share,
    buckets: HashMap<IpAddr, Bucket>,
    swept: Option<Instant>,
}

/// What a peer has left, as parts of its whole share.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    records: f64,
    bytes: f64,
    at: Instant,
}

/// The shares of the requests without proof that are kept, and how many were refused for want
/// of one. Each node has its own.
#[derive(Debug)]
pub(crate) struct Shares {
    peers: Mutex<Peers>,
    dropped: AtomicU64,
}

impl Shares {
    pub(crate) fn new(share: Share) -> Self {
        Self { peers: Mutex::new(Peers::new(share)), dropped: AtomicU64::new(0) }
    }

    /// Takes from the share of its peer, if it is a request without proof.
    pub(crate) fn take(&self, unproven: Option<&Unproven>) -> Result<(), Unavailable> {
        let Some(received) = unproven.map(Unproven::received) else { return Ok(()) };
        if lock(&self.peers).take(received.peer, received.body.len(), Instant::now()) {
            return Ok(());
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
        Err(Unavailable::Behind)
    }

    /// How many were refused.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Peers {
    pub(crate) fn new(share: Share) -> Self {
        Self { share, buckets: HashMap::new(), swept: None }
    }

    /// Takes a record with a body of `bytes` out of the share of `peer`, or gives false
    /// when nothing is left of it.
    pub(crate) fn take(&mut self, peer: IpAddr, bytes: u64, now: Instant) -> bool {
        let mut peer = network_of(peer);
        if self.buckets.len() >= PEERS_MAX && !self.buckets.contains_key(&peer) {
            self.forget_the_whole(now);
            if self.buckets.len() >= PEERS_MAX {
                peer = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let share = self.share;
        let bucket =
            self.buckets.entry(peer).or_insert(Bucket { records: 1.0, bytes: 1.0, at: now });
        bucket.refill(share, now);
        let record = 1.0 / f64::from(share.records.max(1));
        // Taking more than is left is allowed once: a share holds any single body.
        if bucket.records < record || bucket.bytes <= 0.0 {
            return false;
        }
        bucket.records -= record;
        bucket.bytes -= part(bytes, share.bytes);
        true
    }

    /// Forgets the peers whose share is whole: they are as good as unknown. Once a
    /// second at most: a crowd of strangers must not make it the work of each request.
    fn forget_the_whole(&mut self, now: Instant) {
        if self.swept.is_some_and(|it| now.saturating_duration_since(it) < SWEEP_INTERVAL) {
            return;
        }
        self.swept = Some(now);
        let share = self.share;
        self.buckets.retain(|_, bucket| {
            bucket.refill(share, now);
            bucket.records < 1.0 || bucket.bytes < 1.0
        });
    }
}

impl Bucket {
    fn refill(&mut self, share: Share, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let part = passed / share.refill.as_secs_f64().max(1e-9);
        self.records = (self.records + part).min(1.0);
        self.bytes = (self.bytes + part).min(1.0);
        self.at = now;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is measured, not counted")]
fn part(bytes: u64, of: u64) -> f64 {
    bytes as f64 / of.max(1) as f64
}

/// The address; of IPv6 its /64, which is what one customer gets.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.into(),
            None => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share = Share { records: 3, bytes: 1_000, refill: Duration::from_secs(30) };

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_peer_has_its_share_and_gets_it_back_with_time() {
        let mut peers = Peers::new(SHARE);
        let start = Instant::now();
        let taken = (0..5).filter(|_| peers.take(peer(1), 10, start)).count();
        assert_eq!(taken, 3);
        assert!(peers.take(peer(2), 10, start), "another peer has its own");
        assert!(!peers.take(peer(1), 10, start + Duration::from_secs(9)), "too early");
        assert!(
            peers.take(peer(1), 10, start + Duration::from_secs(11)),
            "a third of it came back"
        );
    }

    #[test]
    fn bytes_count_as_well() {
        let mut peers = Peers::new(SHARE);
        let start = Instant::now();
        assert!(peers.take(peer(1), 1_200, start), "any single body passes");
        assert!(!peers.take(peer(1), 1, start), "but takes the share");
    }

    #[test]
    fn a_customer_with_many_ipv6_addresses_is_one_peer() {
        let mut peers = Peers::new(SHARE);
        let start = Instant::now();
        let taken = (0..9_u128)
            .filter(|it| peers.take(Ipv6Addr::from_bits((0x2001_0db8 << 96) + it).into(), 1, start))
            .count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut peers = Peers::new(SHARE);
        let start = Instant::now();
        for it in 0..20_000_u32 {
            peers.take(IpAddr::from(it.to_be_bytes()), 1, start);
        }
        assert!(peers.buckets.len() <= PEERS_MAX + 1, "{} peers", peers.buckets.len());
    }
}
